/** What ends a map before its last record: budgets and quorum; and what a person says to one whose budget is spent. */
import test from 'ava';
import type { WorkflowHandle } from '@temporalio/client';
import type { MapOptions } from '../../recipe/api.ts';
import type { DatasetRef } from '../../schemas/call.ts';
import type { ExperimentRecord } from '../../schemas/experiment.ts';
import type { Output } from '../../schemas/store.ts';
import { started } from '../support/process.ts';
import { makeModel, replays, site, type Site, until } from '../support/temporal.ts';

let on: Site;
let model: string;
test.before(async () => {
  on = await site();
  model = await makeModel(on.services.home);
});
test.after.always(async () => on?.close());

const view = (handle: WorkflowHandle) => handle.query<ExperimentRecord>('progress');
const waiting = (handle: WorkflowHandle) =>
  until(async () => {
    const now = await view(handle);
    return now.attention.length > 0 && now;
  }, 120_000);
/** What the step gave, of an experiment that has ended. */
async function outputOf(name: string, path: string): Promise<Output & { readonly result: DatasetRef }> {
  const record = await until(() => on.services.store.experiment(name).then((found) => found?.state === 'completed' && found));
  return (await on.services.store.output(record.steps.find((step) => step.path === path)!.stepKey!)) as never;
}
async function valuesOf(ref: DatasetRef): Promise<unknown[]> {
  const values = [];
  for await (const { value } of on.services.store.read(ref)) values.push(value);
  return values;
}
const refusal = (error: unknown) => String((error as { cause?: Error }).cause?.message);

/** A model that answers with one token, so many numbers at most, and none of those that `mute` names. */
class Speaker {
  readonly asked: number[] = [];
  most = Infinity;
  mute = (_n: number): boolean => false;

  readonly models = {
    concurrency: 8,
    of: () => ({
      served: 'speaker',
      client: {
        chat: async (_: string, [message]: readonly { content: string }[], __: object, { signal }: { signal: AbortSignal }) => {
          const n = Number(message!.content.slice('say '.length));
          if (this.asked.length >= this.most || this.mute(n))
            await new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason as Error)));
          this.asked.push(n);
          return { reply: { text: `${n}`, finish: 'stop' }, tokens: 1 };
        },
      },
    }),
  } as never;
}
const chatter = (name: string, count: number, limits: MapOptions) =>
  on.start(name, 'chatter', { count, limits }, { models: { speaker: { path: model } } });
const speaking = async (speaker: Speaker, body: () => Promise<void>) => on.working(body, await on.pool(speaker.models));
const sifter = (name: string, by: number, limits: MapOptions) => on.start(name, 'sifter', { count: 600, by, limits });

test.serial('spent candidates stand at attention, and go on as what the first so many records give', async (t) => {
  await on.working(async () => {
    const cut = await sifter('cut', 3, { budget: { candidates: 300 } });
    const { state, attention, steps } = await waiting(cut);
    t.is(state, 'attention');
    t.like(attention[0], { path: 'sift', kind: 'budget' });
    t.regex(attention[0]!.reason, /^its budget of 300 candidates is spent: 300 records were tried and 200 kept, for 0 tokens$/);
    t.regex(
      attention[0]!.remedy,
      /`backspin approve cut sift` .* `backspin set-budget cut sift --candidates N` .* `backspin give-up cut sift`/,
    );
    t.is(steps.find((step) => step.path === 'sift')!.state, 'attention');
    await cut.executeUpdate('approve', { args: [{}] });
    await cut.result();
    const whole = await sifter('whole', 3, {});
    await whole.result();
    const [part, all] = [await outputOf('cut', 'sift'), await outputOf('whole', 'sift')];
    t.like(part, { in: 300, kept: 200, dropped: { multiple: 100 }, determinism: 'seeded' });
    t.is(all.in, 600);
    t.deepEqual(await valuesOf(part.result), (await valuesOf(all.result)).slice(0, 200));
    t.not(part.stepKey, all.stepKey, 'a part never passes for the whole');
  });
});

test.serial('under a larger budget the step goes on where it was; one that is not spent shares its result with all others', async (t) => {
  await on.working(async () => {
    const handle = await sifter('raised', 5, { budget: { candidates: 300 } });
    await waiting(handle);
    await handle.executeUpdate('setBudget', { args: [{ candidates: 1000 }] });
    await handle.result();
    const whole = await sifter('unbounded', 5, {});
    await whole.result();
    const other = await sifter('roomy', 5, { budget: { candidates: 600, tokens: 1 } });
    await other.result();
    const digest = (output: Output) => (output.result as DatasetRef).digest;
    const outputs = await Promise.all(['raised', 'unbounded', 'roomy'].map((name) => outputOf(name, 'sift')));
    t.is(new Set(outputs.map(digest)).size, 1);
    t.is(new Set(outputs.map(({ stepKey }) => stepKey)).size, 1);
  });
});

test.serial(
  'a step that was cut short is not computed again under the same budget, and nothing of it is asked again under a larger',
  async (t) => {
    const speaker = new Speaker();
    await speaking(speaker, async () => {
      speaker.most = 150;
      const first = await chatter('thrifty', 600, { budget: { tokens: 100 } });
      const { attention } = await waiting(first);
      t.regex(attention[0]!.reason, /^its budget of 100 tokens is spent: 150 records were tried and 150 kept, for 150 tokens$/);
      await first.executeUpdate('approve', { args: [{ path: 'ask' }] });
      await first.result();
      const cut = await outputOf('thrifty', 'ask');
      t.like(cut, { in: 150, kept: 150, tokens: 150, determinism: 'timing' });

      const same = await chatter('thrifty-too', 600, { budget: { tokens: 100 } });
      t.deepEqual(await same.result(), await first.result());
      t.is(speaker.asked.length, 150);

      speaker.most = Infinity;
      const more = await chatter('lavish', 600, { budget: { tokens: 1000 } });
      await more.result();
      t.is((await outputOf('lavish', 'ask')).in, 600);
      t.is(speaker.asked.length, 600);
      t.is(new Set(speaker.asked).size, 600);
    });
  },
);

test.serial('minutes count while somebody is at it, through a pause and on', async (t) => {
  const speaker = new Speaker();
  await speaking(speaker, async () => {
    speaker.most = 3;
    const handle = await chatter('slow', 20, { budget: { minutes: 1 / 60 } });
    await until(async () => speaker.asked.length === 3);
    await handle.executeUpdate('pause');
    await handle.executeUpdate('resume');
    const { attention } = await waiting(handle);
    t.regex(attention[0]!.reason, /minutes is spent: 3 records were tried/);
    await handle.executeUpdate('pause');
    t.is((await view(handle)).attention.length, 1, 'what waits for a person goes on waiting in a pause');
    await handle.executeUpdate('giveUp', { args: [{}] });
    await t.throwsAsync(handle.result());
  });
});

test.serial('a quorum drops the stragglers and says so', async (t) => {
  const speaker = new Speaker();
  await speaking(speaker, async () => {
    speaker.mute = (n) => n % 60 === 0; // five, fewer than are in flight
    const handle = await chatter('quorate', 300, { quorum: 0.983 });
    await handle.result();
    const output = await outputOf('quorate', 'ask');
    t.like(output, { in: 300, kept: 295, dropped: { straggler: 5 }, determinism: 'timing' });
    t.is(output.droppedRecords!.rows, 5);
  });
});

test.serial('a budget can be set for a map that runs without one, and a pause does not lose it', async (t) => {
  const speaker = new Speaker();
  await speaking(speaker, async () => {
    speaker.most = 40;
    const handle = await chatter('curbed', 320, {});
    await until(async () => speaker.asked.length === 40);
    await handle.executeUpdate('pause');
    await handle.executeUpdate('setBudget', { args: [{ path: 'ask', tokens: 30 }] });
    t.is((await view(handle)).state, 'paused');
    await handle.executeUpdate('resume');
    t.regex((await waiting(handle)).attention[0]!.reason, /^its budget of 30 tokens is spent: 40 records/);
    speaker.most = Infinity;
    await handle.executeUpdate('setBudget', { args: [{ tokens: 30_000 }] });
    await handle.result();
    t.is((await outputOf('curbed', 'ask')).in, 320);
    t.is(speaker.asked.length, 320);
  });
});

test.serial('a quorum that is no share fails its step with a sentence', async (t) => {
  await on.working(async () => {
    const handle = await sifter('percent', 7, { quorum: 95 });
    t.regex((await waiting(handle)).attention[0]!.reason, /has a quorum of 95: a share of its records is needed/);
    t.regex(refusal(await t.throwsAsync(handle.executeUpdate('approve', { args: [{}] }))), /Nothing here waits for approve/);
    await handle.cancel();
    await t.throwsAsync(handle.result());
  });
});

test.serial('a worker killed with SIGKILL in mid-map neither loses nor doubles what is spent', async (t) => {
  const mock = await started('mock-model.ts', [], {});
  const served = async () => ((await (await fetch(`${mock.said}/count`)).json()) as { served: number }).served;
  const worker = () =>
    started('worker-process.ts', ['pool'], { HOME_FOLDER: on.services.home, ADDRESS: on.env.address, MODEL_URL: mock.said });
  let { child } = await worker();
  try {
    await on.working(async () => {
      const handle = await chatter('killed', 50_000, { budget: { tokens: 40_000 } });
      await until(async () => (await served()) > 3_000, 120_000);
      child.kill('SIGKILL');
      ({ child } = await worker());
      const { reason } = (await waiting(handle)).attention[0]!;
      const spent = Number(/([\d,]+) tokens$/.exec(reason)![1]!.replaceAll(',', ''));
      t.true(spent >= 40_000, reason);
      const answered = 4 * (await served());
      t.true(spent <= answered && answered - spent <= 400, `${answered} tokens were answered, ${spent} counted`);
      await handle.cancel();
      await t.throwsAsync(handle.result());
    });
  } finally {
    for (const one of [child, mock.child]) one.kill('SIGKILL');
  }
});

test.serial('what has run replays, approved when spent and given more', (t) => replays(t, on, ['cut', 'curbed']));
