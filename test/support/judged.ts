/** A home with two experiments that judged texts in two rounds, `judged` and `strict`, as workers leave them in the store. */
import { join } from 'node:path';
import { configDigest } from '../../experiments/config.ts';
import { isRef, type Result } from '../../schemas/call.ts';
import { recordId, sha256 } from '../../schemas/canonical.ts';
import type { BoundConfig } from '../../schemas/config.ts';
import type { ExperimentRecord, Step } from '../../schemas/experiment.ts';
import type { Output } from '../../schemas/store.ts';
import type { Rec } from '../../recipe/define.ts';
import { openStore } from '../../store/local.ts';
import type { Store } from '../../store/store.ts';
import { temporary } from '../cli/cli.ts';
import { put } from './store.ts';

/** Texts that would do something if they were not shown as text. */
export const HOSTILE = `<script>document.title='owned'</script><img src=x onerror="document.title='owned'"> \u202egnp.exe\u202c \u001b[2J & "quoted"`;

export interface Judged {
  readonly folder: string;
  readonly store: Store;
  /** Segments, the pairs made of them, and the judged pairs, in order. */
  readonly segments: readonly Rec<{ text: string }>[];
  readonly pairs: readonly Rec<Pair>[];
  readonly judged: readonly Rec<Pair & { score: number; judgement: string }>[];
}
interface Pair {
  readonly instruction: string;
  readonly response: string;
}

const made = <T>(value: T, ...from: readonly Rec<unknown>[]): Rec<T> => {
  const parents = from.map(({ id }) => id);
  return { id: recordId(value, parents), from: parents, value };
};

/** `count`: segments. The first has hostile text. Every tenth pair has no score in round 1; scores are 1 to 5 in turn. */
export async function judgedHome(count = 30, folder = temporary()): Promise<Judged> {
  const store = await openStore(join(folder, 'store'));
  const segments = Array.from({ length: count }, (_, n) => made({ text: n === 0 ? HOSTILE : `Text ${n} about rivers.` }));
  const pairs = segments.map((one, n) => made({ instruction: `What of ${n}?`, response: one.value.text }, one));
  const read = pairs.filter((_, n) => n % 10 !== 9);
  const judged = read.map((pair, n) => made({ ...pair.value, score: 1 + (n % 5), judgement: `Score: ${1 + (n % 5)}` }, pair));
  const unread = pairs
    .filter((_, n) => n % 10 === 9)
    .map(({ id, value }) => made({ id, reason: 'no-score', evidence: 'I like it', value }));
  const origins = await put(
    store,
    segments.map((one, n) => ({ id: one.id, from: [], value: `texts.md:${n + 1}` })),
  );
  const [corpus, pool, scored, unreadable] = [
    await put(store, segments),
    await put(store, pairs),
    await put(store, judged),
    await put(store, unread),
  ];
  for (const [name, threshold] of [
    ['judged', 4],
    ['strict', 5],
  ] as const) {
    const kept = judged.filter(({ value }) => value.score >= threshold);
    const left = judged
      .filter(({ value }) => value.score < threshold)
      .map(({ id, value }) => made({ id, reason: 'where', evidence: `score is ${value.score}`, value }));
    const [curated, leftOut] = [await put(store, kept), await put(store, left)];
    const world = { store, name, threshold };
    const rating = { operation: 'humpback.rating', params: { prompts: { judge: 'humpback.curation' }, sampling, attempts: 1 } };
    const steps = [
      await step(world, 'data-corpus', 'reduce', corpus, { operation: 'source:std.documents', origins }),
      await step(world, 'backtranslate', 'map', pool, { operation: 'humpback.backtranslate', inputs: [corpus.digest] }),
    ];
    for (const round of [1, 2]) {
      const judge = { ...rating, inputs: [pool.digest], droppedRecords: unreadable, versions: { 'humpback.rating': 3 } };
      const select = { operation: 'std.select', inputs: [scored.digest], params: { where: { score: { atLeast: threshold } } } };
      const train = { operation: 'sft', inputs: [curated.digest] };
      steps.push(
        await step(world, `r${round}/judge`, 'map', scored, judge),
        await step(world, `r${round}/curated`, 'reduce', curated, { ...select, droppedRecords: leftOut }),
        await step(world, `r${round}/forward`, 'train', { kind: 'model', digest: sha256(`${name}${round}`) }, train),
        await step(world, `r${round}/evaluate-forward`, 'evaluate', report(0.3 + 0.1 * round + 0.01 * threshold), {}),
        await step(world, `r${round}/random/evaluate-forward`, 'evaluate', report(0.3), {}),
      );
    }
    await store.putExperiment(recordOf(world, steps));
  }
  return { folder, store, segments, pairs, judged };
}

const sampling = { temperature: 0, maxTokens: 8 };
const report = (exact: number) =>
  ({ kind: 'report', digest: sha256(`${exact}`), metrics: { exact, exactSd: 0.02 }, oracle: false }) as const;

interface World {
  readonly store: Store;
  readonly name: string;
  readonly threshold: number;
}

async function step(
  { store, name, threshold }: World,
  path: string,
  kind: Step['kind'],
  result: Result,
  more: Partial<Output>,
): Promise<Step> {
  const own = path.includes('curated') || kind === 'train' || kind === 'evaluate';
  const stepKey = sha256(own ? `${path} ${threshold}` : path);
  const operation = more.operation ?? 'toy.suite';
  const rows = isRef(result) && result.kind === 'dataset' ? result.rows : 0;
  const gone = more.droppedRecords?.rows ?? 0;
  const reason = operation === 'std.select' ? 'where' : 'no-score';
  await store.putOutput({
    stepKey,
    verb: kind,
    operation,
    result,
    in: rows + gone,
    kept: rows,
    dropped: gone > 0 ? { [reason]: gone } : {},
    droppedRecords: null,
    requests: kind === 'map' ? rows : 0,
    tokens: 10 * rows,
    seconds: 2,
    inputs: [],
    params: {},
    versions: {},
    sources: {},
    determinism: 'seeded',
    made: new Date(0).toISOString(),
    ...more,
  });
  const [, round, arm] = /^r(\d+)\/(?:(\w+)\/)?/.exec(path) ?? [];
  const at = { path, arm: arm ?? null, round: round === undefined ? null : Number(round), name: path.split('/').at(-1)! };
  return { ...at, kind, operation, state: 'completed', stepKey, cached: name === 'strict' && !own, result };
}

function recordOf({ store, name, threshold }: World, steps: readonly Step[]): ExperimentRecord {
  const config: BoundConfig = {
    name,
    recipe: 'humpback',
    seed: 0,
    modules: [],
    models: {},
    data: {},
    roles: {},
    evaluation: {},
    serving: { pool: 'cpu', engine: 'embedded', slots: 64, threads: null, maxModelLength: null, replicas: 1 },
    training: { pool: 'cpu', threads: null },
    parameters: { rounds: 2, keep: { threshold } },
  };
  const result = steps.find(({ path }) => path === 'r2/curated')!.result;
  return {
    name,
    recipe: 'humpback',
    workflowId: `${store.id}.${name}`,
    runId: null,
    config,
    configDigest: configDigest(config),
    parent: null,
    state: 'completed',
    round: 2,
    attention: [],
    notices: [],
    decisions: {},
    result,
    failure: null,
    updated: new Date(0).toISOString(),
    steps: [...steps],
  };
}
