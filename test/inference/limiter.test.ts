import test from 'ava';
import { FixedLimiter } from '../../inference/limiter.ts';

const never = new AbortController().signal;
/** Bodies that a test ends one by one. */
function bodies(limiter: FixedLimiter) {
  const begun: string[] = [];
  const ends = new Map<string, (error?: Error) => void>();
  const run = (name: string, signal = never) =>
    limiter.run(signal, () => {
      begun.push(name);
      return new Promise<string>((resolve, reject) => ends.set(name, (error) => (error ? reject(error) : resolve(name))));
    });
  return { begun, run, end: (name: string, error?: Error) => ends.get(name)!(error) };
}
const turn = () => new Promise((next) => setImmediate(next));

test('never more than the limit run, and the others follow in order of arrival', async (t) => {
  const { begun, run, end } = bodies(new FixedLimiter(2));
  const all = ['a', 'b', 'c', 'd'].map((name) => run(name));
  await turn();
  t.deepEqual(begun, ['a', 'b']);
  end('b');
  await turn();
  t.deepEqual(begun, ['a', 'b', 'c']);
  end('a');
  await turn();
  t.deepEqual(begun, ['a', 'b', 'c', 'd']);
  end('c');
  end('d');
  t.deepEqual(await Promise.all(all), ['a', 'b', 'c', 'd']);
});

test('a failure gives its place on', async (t) => {
  const { run, end } = bodies(new FixedLimiter(1));
  const first = run('a');
  const second = run('b');
  await turn();
  end('a', new Error('broken'));
  await t.throwsAsync(first, { message: 'broken' });
  await turn();
  end('b');
  t.is(await second, 'b');
});

test('who aborts while waiting never runs and takes no place', async (t) => {
  const { begun, run, end } = bodies(new FixedLimiter(1));
  const first = run('a');
  const abort = new AbortController();
  const second = run('b', abort.signal);
  const third = run('c');
  abort.abort(new Error('enough'));
  await t.throwsAsync(second, { message: 'enough' });
  end('a');
  await first;
  await turn();
  end('c');
  await third;
  t.deepEqual(begun, ['a', 'c']);
});
