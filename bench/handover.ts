/** `handover`: compares a round on one device group (generate, train, generate again) with the same Python processes and the same work,
 *  started by hand one after the other. */
import { cp, mkdir, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { setTimeout as delay } from 'node:timers/promises';
import { basename, join } from 'node:path';
import { glob } from 'node:fs/promises';
import { inFlightOf } from '../steps/open.ts';
import { questionOf, seedOf } from '../steps/model-calls.ts';
import type { DatasetRef } from '../schemas/call.ts';
import { trainSpec, type TrainSpec } from '../schemas/trainer.ts';
import { baseFolder } from '../test/support/embedded.ts';
import { SERVING, site, type Site } from '../test/support/temporal.ts';
import { ask } from './ask.ts';
import { serve, train } from './python.ts';
import { rounded, type Result } from './support.ts';

const NAME = 'round';
/** Milliseconds: rare enough to cost nothing, shorter than the shortest training. */
const LOOK_EVERY = 1000;
const serving = { ...SERVING, slots: 64, threads: 2 };
const speaker = baseFolder('rated');

export async function handover({ records = 6_000, steps = 200 } = {}): Promise<Result> {
  const on = await site();
  const folder = await mkdtemp(join(tmpdir(), 'backspin-bench-handover-'));
  try {
    const product = await round(on, records, steps, folder);
    const spec = product.value;
    const rows: { what: string; seconds: number }[] = [];
    const bare = async <T>(what: string, body: () => Promise<T>): Promise<T> => {
      const { value, seconds } = await timed(body);
      rows.push({ what, seconds: rounded(seconds) });
      return value;
    };
    await bare('asked before', () => asked(on, 'before', speaker));
    await bare('trained', () => train(spec));
    await bare('asked after', () => asked(on, 'after', join(spec.run, 'model')));
    const whole = rows.reduce((sum, { seconds }) => sum + seconds, 0);
    return {
      rows: [
        ...rows,
        { what: 'all of it by hand', seconds: rounded(whole) },
        { what: 'all of it by backspin', seconds: rounded(product.seconds) },
      ],
      bounds: [{ what: 'share that backspin adds to the round', is: rounded(product.seconds / whole - 1, 3), atMost: 0.1 }],
    };
  } finally {
    await on.close();
    await rm(on.services.home, { recursive: true });
    await rm(folder, { recursive: true });
  }
}

/** Runs the round with backspin on running workers. Returns the spec of its training with copied rows, because the step's own are
 *  deleted when it ends. */
function round(on: Site, records: number, steps: number, folder: string): Promise<Timed<TrainSpec>> {
  const experiment = async () => {
    const models = { speaker: { path: speaker } };
    const handle = await on.start(NAME, 'school', { count: records, steps }, { models, serving });
    const ended = handle.result().then(() => true);
    let spec: TrainSpec | undefined;
    while (spec === undefined && !(await Promise.race([ended, delay(LOOK_EVERY, false)]))) spec = await copied(on, folder);
    await ended;
    return spec!;
  };
  return on.working(() => on.onDevices(1, 600_000, () => timed(experiment)));
}

/** Copies the spec of the training once it exists. */
async function copied(on: Site, run: string): Promise<TrainSpec | undefined> {
  for await (const file of glob(join(on.services.store.root, 'work/*/run/train.json'))) {
    const spec = trainSpec.parse(JSON.parse(await readFile(file, 'utf8')));
    const data = join(run, basename(spec.data));
    await mkdir(run, { recursive: true });
    await cp(spec.data, data);
    return { ...spec, data, run };
  }
  return undefined;
}

/** Sends all requests of a step to a server of its model. Throws if the answers differ. */
async function asked({ services: { store } }: Site, path: string, folder: string): Promise<void> {
  const { stepKey } = (await store.experiment(NAME))!.steps.find((step) => step.path === path)!;
  const output = (await store.output(stepKey!))!;
  const sources: { id: string; n: number }[] = [];
  for await (const { from, value } of store.read(output.result as DatasetRef))
    sources.push({ id: from[0]!, n: (value as { n: number }).n });
  if (output.droppedRecords)
    for await (const { value } of store.read(output.droppedRecords)) {
      const { id, value: source } = value as { id: string; value: { n: number } };
      sources.push({ id, n: source.n });
    }
  const requests = sources.map(({ id, n }) => {
    const messages = [{ role: 'user', content: `say ${n}` }];
    const question = questionOf('chat', 'speaker', messages, { temperature: 1, maxTokens: 8 });
    return { model: 'speaker', messages, temperature: 1, max_tokens: 8, seed: seedOf(0, stepKey!, id, question, 0) };
  });
  const server = await serve({ speaker: { folder, base: null } }, serving.slots, serving.threads);
  const { replies } = await ask(server, requests, inFlightOf({ serving }));
  await server.stop();
  const tokens = (replies as { usage: { total_tokens: number } }[]).reduce((sum, { usage }) => sum + usage.total_tokens, 0);
  if (tokens !== output.tokens) throw new Error(`${path}: ${tokens} tokens by hand, ${output.tokens} by backspin`);
}

interface Timed<T> {
  readonly value: T;
  readonly seconds: number;
}
async function timed<T>(body: () => Promise<T>): Promise<Timed<T>> {
  const began = performance.now();
  const value = await body();
  return { value, seconds: (performance.now() - began) / 1000 };
}
