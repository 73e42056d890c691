/** How often an activity may fail: counted by kind of failure, whoever ran the attempts. */
import test from 'ava';
import { MockActivityEnvironment } from '@temporalio/testing';
import { DefaultLogger, Runtime } from '@temporalio/worker';
import type { ApplicationFailure } from '@temporalio/activity';
import { activity } from '../../activities/wrap.ts';
import { BackspinError } from '../../schemas/errors.ts';

Runtime.install({ logger: new DefaultLogger('ERROR') });

/** Attempts of one activity, each given what the last heartbeat of the one before said. */
function activityOf() {
  let heartbeat: unknown;
  let attempt = 0;
  return {
    /** One that its worker did not outlive. */
    died: () => void attempt++,
    /** Whether it is tried again. */
    async fails(error: unknown): Promise<boolean> {
      const environment = new MockActivityEnvironment({ attempt: ++attempt, heartbeatDetails: heartbeat });
      environment.on('heartbeat', (details: unknown) => (heartbeat = details));
      const failed = environment.run(() => activity(() => Promise.reject(error as Error)));
      return failed.then(
        () => true,
        (failure: ApplicationFailure) => failure.nonRetryable !== true,
      );
    },
  };
}
const reset = () => Object.assign(new Error('socket hang up'), { code: 'ECONNRESET' });
const times = async (count: number, fails: () => Promise<boolean>) => {
  for (let n = 1; n < count; n++) if (!(await fails())) return n;
  return (await fails()) ? Infinity : count;
};

test('the fifth error of a kind that nobody thought of is the last, however many workers died before', async (t) => {
  const { died, fails } = activityOf();
  for (let n = 0; n < 9; n++) died();
  t.is(await times(5, () => fails(reset())), 5);
});

test('kinds are counted apart, and what says by itself whether it is tried again is not counted', async (t) => {
  const { fails } = activityOf();
  for (let n = 0; n < 4; n++) t.true(await fails(reset()));
  for (let n = 0; n < 4; n++) t.true(await fails(new TypeError('x is not a function')));
  for (let n = 0; n < 9; n++) t.true(await fails(new BackspinError('DeviceLost', 'gone')));
  t.false(await fails(new BackspinError('ConfigError', 'no')));
  t.false(await fails(new TypeError('y is not a function')));
  t.false(await fails(reset()));
});

test('what is thrown and is no error ends too', async (t) => {
  const { fails } = activityOf();
  t.is(await times(5, () => fails('a text')), 5);
});

test('a server that is there and answers nobody is given up after twenty attempts', async (t) => {
  const { fails } = activityOf();
  t.is(await times(20, () => fails(new BackspinError('Down', 'status 500'))), 20);
});
