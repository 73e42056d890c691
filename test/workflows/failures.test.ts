/** What a failure may cost: a record that is never answered, and an error that nobody thought of, on a real Temporal server. */
import test from 'ava';
import { BackspinError } from '../../schemas/errors.ts';
import type { ExperimentRecord } from '../../schemas/experiment.ts';
import { makeModel, type Site, site, until } from '../support/temporal.ts';

let on: Site;
let model: string;
test.before(async () => {
  on = await site();
  model = await makeModel(on.services.home);
});
test.after.always(async () => on?.close());

/** Says numbers, and counts how often it was asked for each. */
function speaker(refuse: (n: number) => Error | undefined) {
  const asked = new Map<number, number>();
  const chat = async (_: string, [message]: readonly { content: string }[]) => {
    const n = Number(message!.content.slice('say '.length));
    asked.set(n, (asked.get(n) ?? 0) + 1);
    const error = refuse(n);
    if (error) throw error;
    return { reply: { text: `${n}`, finish: 'stop' }, tokens: 1 };
  };
  return { asked, models: { concurrency: 8, of: () => ({ served: 'speaker', client: { chat } }) } as never };
}
const start = (name: string) =>
  on.start(name, 'chatter', { count: 20, limits: {} }, { models: { speaker: { path: model } }, seed: name.length });

test.serial('a record that is never answered is dropped as failed, and all others are kept and asked once', async (t) => {
  const { asked, models } = speaker((n) => (n === 7 ? new BackspinError('Down', 'status 500, it broke') : undefined));
  await on.working(
    async () => {
      await start('one-fails');
      const record = await until(() => on.services.store.experiment('one-fails').then((found) => found?.state === 'completed' && found));
      const { stepKey } = record.steps.find(({ kind }) => kind === 'map')!;
      t.like(await on.services.store.output(stepKey!), { in: 20, kept: 19, dropped: { failed: 1 } });
      t.is(asked.get(7), 3);
      asked.delete(7);
      t.true([...asked.values()].every((times) => times === 1));
    },
    await on.pool(models),
  );
});

test.serial('an error that nobody thought of stands at attention after five attempts', async (t) => {
  const { asked, models } = speaker(() => new TypeError('speak is not a function'));
  await on.working(
    async () => {
      const handle = await start('odd');
      const { attention } = await until(async () => {
        const now = await handle.query<ExperimentRecord>('progress');
        return now.attention.length > 0 && now;
      }, 120_000);
      t.regex(attention[0]!.reason, /speak is not a function/);
      t.is(asked.get(0), 5);
      await handle.executeUpdate('giveUp', { args: [{}] });
    },
    await on.pool(models),
  );
});
