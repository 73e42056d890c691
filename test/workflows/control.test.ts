/** What a person says to an experiment, typed by hand too; and what it says to a person. */
import test from 'ava';
import { rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import type { WorkflowHandle } from '@temporalio/client';
import { retryIfDropped } from '../../experiments/send.ts';
import type { DatasetRef } from '../../schemas/call.ts';
import type { ExperimentRecord } from '../../schemas/experiment.ts';
import { queues } from '../../schemas/names.ts';
import { put, read } from '../support/store.ts';
import { putPoolNotice } from '../../steps/pool-notices.ts';
import { makeModel, replays, site, type Site, until } from '../support/temporal.ts';

let on: Site;
test.before(async () => {
  on = await site();
});
test.after.always(async () => on?.close());

const parameters = { rounds: 2, minimum: 1000, by: 3 };
const view = (handle: WorkflowHandle) => handle.query<ExperimentRecord>('progress');
/** Once this waits. */
const waiting = (handle: WorkflowHandle, path: string) =>
  until(async () => {
    const now = await view(handle);
    return now.attention.some((one) => one.path === path) && now;
  });
const recordOf = (name: string) => until(() => on.services.store.experiment(name).then((found) => found?.state === 'completed' && found));

test.serial('a short gate names the step whose records it holds, and every way on', async (t) => {
  await on.working(async () => {
    const handle = await on.start('named', 'toy', parameters);
    const { attention } = await waiting(handle, 'r1/gate');
    const commands = [...attention[0]!.remedy.matchAll(/`backspin ([^`]*)`/g)].map(([, command]) => command);
    t.deepEqual(commands, [
      'show named r1/select',
      'show named r1/select --dropped all',
      'review named r1/gate',
      'approve named r1/gate',
      'reject named r1/gate',
      'give-up named r1/gate',
    ]);
    await handle.cancel();
    await t.throwsAsync(handle.result());
  });
});

test.serial('a rejected gate undoes its round, whatever waits or runs in it: the experiment ends with what it had before', async (t) => {
  const broken = join(tmpdir(), `broken-${process.pid}`);
  process.env['BACKSPIN_TOY_BROKEN'] = broken;
  await on.working(async () => {
    const handle = await on.start('rejected', 'toy', parameters);
    await waiting(handle, 'r1/gate');
    await until(async () => (await view(handle)).steps.some((step) => step.path === 'r1/other/fragile' && step.state === 'completed'));
    await writeFile(broken, '');
    await handle.executeUpdate('approve', { args: [{}] });
    await waiting(handle, 'r2/gate');
    const before = await waiting(handle, 'r2/other/fragile');
    const kept = before.steps.find(({ path }) => path === 'r1/select')!.result as DatasetRef;
    await retryIfDropped(() => handle.executeUpdate('reject', { args: [{ path: 'gate' }] }));
    t.deepEqual(await handle.result(), { data: kept });
    const record = await recordOf('rejected');
    t.is(record.round, 1);
    t.false(record.steps.some(({ round }) => round === 2));
    t.deepEqual(record.notices, ['r2/gate was rejected, and its round undone.']);
  });
  await rm(broken);
});

test('an update that the server drops is said again, a few times; one that is refused is not', async (t) => {
  const dropping = (times: number, code = 9) => {
    const seen = { said: 0 };
    const tell = async () => {
      if (seen.said++ < times) throw Object.assign(new Error('Workflow Update failed'), { cause: Object.assign(new Error(), { code }) });
    };
    return { seen, tell };
  };
  const [twice, always, refused] = [dropping(2), dropping(Infinity), dropping(1, 3)];
  await retryIfDropped(twice.tell);
  await t.throwsAsync(retryIfDropped(always.tell));
  await t.throwsAsync(retryIfDropped(refused.tell));
  t.deepEqual(
    [twice, always, refused].map(({ seen }) => seen.said),
    [3, 5, 1],
  );
});

test.serial('what is not of the form that an update wants is refused with that form, and changes nothing', async (t) => {
  await on.working(async () => {
    const handle = await on.start('typed', 'toy', parameters);
    await waiting(handle, 'r1/gate');
    const cases: readonly (readonly [update: string, given: string | number | object | null | undefined, says: RegExp])[] = [
      ['approve', 'r1/gate', /^"r1\/gate" is not of the form \{"path":"r1\/gate"\}\.$/],
      ['approve', { step: 'r1/gate' }, /is not of the form \{"path":"r1\/gate"\}/],
      ['approve', { path: 1 }, /is not of the form/],
      ['approve', ['r1/gate'], /is not of the form/],
      ['approve', null, /is not of the form/],
      ['approve', { path: 'nowhere' }, /No "nowhere" here waits for approve. These do: r1\/gate\./],
      ['reject', 7, /is not of the form/],
      ['retryStep', { path: 'r1/gate' }, /Nothing here waits for retry-step\./],
      ['giveUp', { path: 'gat' }, /No "gat" here waits for give-up/],
      ['stopAfterRound', 2, /^2 is not of the form \{"round":2\}\.$/],
      ['stopAfterRound', { round: '2' }, /is not of the form/],
      ['stopAfterRound', {}, /The experiment is in round 1: name that round or a later one/],
      ['stopAfterRound', { round: 0 }, /The experiment is in round 1/],
      ['stopAfterRound', { round: 1.5 }, /The experiment is in round 1/],
      ['setBudget', { path: 'r1/sieve' }, /A budget names one of candidates, tokens, attempts, minutes, such as \{"tokens": 200000\}/],
      [
        'setBudget',
        { tokens: -1 },
        /is not of the form \{"path":"r1\/judge","candidates":1000,"tokens":200000,"attempts":5000,"minutes":30\}/,
      ],
      ['setBudget', { tokens: 0 }, /A budget of nothing/],
      ['setBudget', { token: 5 }, /is not of the form/],
      ['setBudget', { tokens: 5 }, /Nothing here can be given a budget/],
      ['resume', undefined, /The experiment is not paused/],
    ];
    for (const [update, given, says] of cases) {
      const told: Promise<void> = given === undefined ? handle.executeUpdate(update) : handle.executeUpdate(update, { args: [given] });
      const error = await t.throwsAsync(told);
      t.regex(String((error as { cause?: Error }).cause?.message), says, `${update} ${JSON.stringify(given)}`);
    }
    await handle.executeUpdate('pause');
    await t.throwsAsync(handle.executeUpdate('pause'));
    await handle.executeUpdate('resume');
    t.is((await view(handle)).state, 'attention');
    await handle.executeUpdate('stopAfterRound', { args: [{ round: 1 }] });
    await handle.executeUpdate('approve');
    await handle.result();
    t.is((await recordOf('typed')).round, 1);
  });
});

test.serial('a review lets its gate pass with the records that it left, and one of other records is refused', async (t) => {
  await on.working(async () => {
    const handle = await on.start('judged', 'toy', { rounds: 1, minimum: 1, by: 3 }, { review: 5 });
    const { attention, steps } = await waiting(handle, 'r1/gate');
    const { records } = attention[0]!;
    t.deepEqual(records, steps.find(({ path }) => path === 'r1/select')!.result as DatasetRef);
    const held = await read(on.services.store, records!);
    const verdicts = await put(on.services.store, [verdictOn(held[0]!.id, 'reject'), verdictOn(held[1]!.id, 'approve')]);
    const review = { of: records!.digest, verdicts, counts: { approved: 1, rejected: 1, edited: 0 }, rejected: 'drop' };
    for (const [wrong, says] of [
      [{ ...review, of: verdicts.digest }, /These verdicts are of other records than r1\/gate holds now/],
      [{ ...review, counts: { approved: 5, rejected: 1, edited: 0 } }, /A review holds its verdicts, as many as it counts/],
      [{ ...review, counts: { approved: 2 } }, /A review holds its verdicts/],
      [{ ...review, verdicts: { ...verdicts, kind: 'model' } }, /A review holds its verdicts/],
      [{}, /A review holds its verdicts/],
    ] as const) {
      const error = await t.throwsAsync(handle.executeUpdate('review', { args: [wrong] }));
      t.regex(String((error as { cause?: Error }).cause?.message), says);
    }
    await handle.executeUpdate('review', { args: [{ path: 'gate', ...review }] });
    const { data } = (await handle.result()) as { data: DatasetRef };
    t.deepEqual(
      (await read(on.services.store, data)).map(({ id }) => id),
      held.slice(1).map(({ id }) => id),
    );
    const [notice] = (await recordOf('judged')).notices;
    t.is(notice, 'r1/gate was reviewed: 1 of 2 approved, a precision of 0.50 (95 % interval 0.09 to 0.91); 1 rejected, 0 edited.');
  });
});
const verdictOn = (id: string, verdict: string) => ({ id: `v-${id}`, from: [id], value: { of: id, verdict, note: null, value: null } });

test.serial('an update whose handler goes wrong is refused with what went wrong, and the workflow goes on', async (t) => {
  await on.working(async () => {
    const taskQueue = queues.orchestrator(on.services.store.id);
    const handle = await on.env.client.workflow.start('flustered', { workflowId: 'flustered', taskQueue });
    const error = await t.throwsAsync(handle.executeUpdate('pause'));
    t.is((error as { cause?: Error }).cause?.message, 'nobody thought of this');
    await handle.executeUpdate('stopAfterRound', { args: [{ round: 1 }] });
    await handle.result();
  });
});

test.serial('each update tells in the Temporal UI what to type', async (t) => {
  await on.working(async () => {
    const handle = await on.start('told', 'toy', parameters);
    const metadata = await handle.query<{ definition: { updateDefinitions: { name: string; description?: string }[] } }>(
      '__temporal_workflow_metadata',
    );
    const told = new Map(metadata.definition.updateDefinitions.map(({ name, description }) => [name, description ?? '']));
    t.deepEqual([...told.keys()].toSorted(), [
      'approve',
      'giveUp',
      'pause',
      'reject',
      'resume',
      'retryStep',
      'review',
      'setBudget',
      'stopAfterRound',
    ]);
    for (const [name, description] of told) t.regex(description, /\{"|Takes nothing/, name);
    await handle.cancel();
    await t.throwsAsync(handle.result());
  });
});

test.serial('with little room on the disk new steps are held and say so, and begin by themselves once there is room', async (t) => {
  const { free } = on.services.store;
  on.services.store.free = async () => 1e9;
  await on.working(async () => {
    const handle = await on.start('held', 'toy', { ...parameters, minimum: 1, rounds: 1, by: 29 });
    const { state, attention } = await waiting(handle, 'r1/sieve');
    t.is(state, 'attention');
    t.like(attention[0], { kind: 'space' });
    t.regex(attention[0]!.reason, /has 1\.0 GB free, and a new step begins with 2\.0 GB or more: make room/);
    await handle.executeUpdate('pause');
    on.services.store.free = free;
    await until(async () => (await view(handle)).attention.length === 0);
    await handle.executeUpdate('resume');
    await handle.result();
    t.is((await recordOf('held')).attention.length, 0);
  });
});

test.serial('an experiment that is cancelled while a step waits for a pool ends as cancelled', async (t) => {
  const speaker = { path: await makeModel(on.services.home) };
  await on.working(async () => {
    const handle = await on.start('left-alone', 'chatter', { count: 4 }, { models: { speaker } });
    await until(async () => (await view(handle)).steps.some(({ path, stepKey }) => path === 'ask' && stepKey !== null));
    await handle.cancel();
    await t.throwsAsync(handle.result());
    t.is((await handle.describe()).status.name, 'CANCELLED');
    const { events } = await handle.fetchHistory();
    t.false(
      events!.some(({ workflowTaskFailedEventAttributes: failed }) => failed),
      'no rejection is left that nobody handles',
    );
    await until(() => on.services.store.experiment('left-alone').then((found) => found?.state === 'cancelled'));
  });
});

test.serial('a pool without a worker is said within two minutes, and no more once it has one', async (t) => {
  const client = { chat: async () => ({ reply: { text: 'one', finish: 'stop' }, tokens: 1 }) };
  const models = { concurrency: 8, of: () => ({ served: 'speaker', client }) } as never;
  const handle = await on.start('lonely', 'chatter', { count: 3 }, { models: { speaker: { path: join(on.services.home, 'speaker') } } });
  await on.working(async () => {
    const { state, notices } = await until(async () => {
      const now = await view(handle);
      return now.notices.length > 0 && now;
    }, 120_000);
    t.is(state, 'running');
    t.deepEqual(notices, [
      'No worker polls the pool cpu, which ask waits for: `backspin up --pool cpu=...` starts one where its devices are.',
    ]);
    await putPoolNotice(on.services.store, 'cpu', 'Slurm takes no job.');
    const said = ['No worker polls the pool cpu, which ask waits for: Slurm takes no job.'];
    await until(async () => isDeepStrictEqual((await view(handle)).notices, said), 120_000);
  });
  await on.working(
    async () => {
      await handle.result();
      t.deepEqual((await recordOf('lonely')).notices, []);
    },
    await on.pool(models),
  );
});

test.serial('what has run replays, held for room, rejected and reviewed', (t) => replays(t, on, ['held', 'rejected', 'judged']));
