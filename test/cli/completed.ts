/** A home with an experiment that was completed, and its parts. */
import { createHash } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { configDigest } from '../../experiments/config.ts';
import type { DatasetRef } from '../../schemas/call.ts';
import type { ExperimentRecord, Step } from '../../schemas/experiment.ts';
import type { Output } from '../../schemas/store.ts';
import { recordId } from '../../schemas/canonical.ts';
import { openStore } from '../../store/local.ts';
import { pathsOf } from '../../store/paths.ts';
import type { Store } from '../../store/store.ts';
import { bound } from '../support/bound.ts';
import { root, temporary } from './cli.ts';

export const key = (name: string) => createHash('sha256').update(name).digest('hex');

export async function dataset(store: Store, values: readonly object[]): Promise<DatasetRef> {
  const writer = store.write('pair');
  for (const value of values) await writer.add({ id: recordId(value, []), from: [], value });
  return writer.commit('exact');
}

export async function step(store: Store, path: string, kept: DatasetRef, droppedRecords: DatasetRef | null = null): Promise<Step> {
  const reasons = droppedRecords === null ? {} : { 'no-score': droppedRecords.rows };
  await store.putOutput({
    stepKey: key(path),
    verb: 'map',
    operation: 'toy.judge',
    result: kept,
    in: kept.rows + (droppedRecords?.rows ?? 0),
    kept: kept.rows,
    dropped: reasons,
    droppedRecords,
    requests: 7,
    tokens: 1,
    seconds: 2,
    inputs: [key('input')],
    params: {},
    versions: {},
    sources: {},
    determinism: 'exact',
    made: new Date(0).toISOString(),
  });
  const [name, round] = [path.split('/').at(-1)!, Number(/^r(\d+)/.exec(path)?.[1] ?? 0)];
  return {
    path,
    arm: null,
    round: round || null,
    name,
    kind: 'map',
    operation: 'toy.judge',
    state: 'completed',
    stepKey: key(path),
    cached: false,
    result: kept,
  };
}

/** Puts the output of a step anew. */
export async function giveAgain(store: Store, path: string, change: Partial<Output>): Promise<void> {
  const known = (await store.output(key(path)))!;
  await rm(pathsOf(store.root).output(known.stepKey));
  await store.putOutput({ ...known, ...change });
}

const report = (path: string, round: number | null, metrics: Record<string, number>): Step => ({
  path,
  arm: null,
  round,
  name: path.split('/').at(-1)!,
  kind: 'evaluate',
  operation: 'toy.suite',
  state: 'completed',
  stepKey: null,
  cached: false,
  result: { kind: 'report', digest: key(path), metrics, oracle: true },
});

/** A home with one completed experiment `toy` of two rounds. */
export async function home(change: Partial<ExperimentRecord> = {}, folder = temporary()): Promise<string> {
  const store = await openStore(join(folder, 'store'));
  const bad = await dataset(store, [{ id: 'a', reason: 'no-score', evidence: 'I like it', value: { text: 'x' } }]);
  const kept = await dataset(store, [
    { text: 'one', score: 5 },
    { text: 'two', score: 4 },
  ]);
  const record: ExperimentRecord = {
    name: 'toy',
    recipe: 'humpback',
    workflowId: `${store.id}.toy`,
    runId: null,
    config: bound,
    configDigest: configDigest(bound),
    parent: null,
    state: 'completed',
    round: 2,
    attention: [],
    notices: [],
    ledger: {},
    decisions: {},
    result: kept,
    failure: null,
    updated: new Date(0).toISOString(),
    steps: [
      await step(store, 'r1/judge', kept, bad),
      await step(store, 'r2/judge', kept),
      report('first', null, { exact: 0.25 }),
      report('r1/ours', 1, { exact: 0.5 }),
      report('r1/theirs', 1, { exact: 0.75, other: 1 }),
    ],
    ...change,
  };
  await store.putExperiment(record);
  return folder;
}

const world = join(root, 'examples/textworld');
export const experiment = (rounds: number) => `recipe: humpback
modules: [${world}/module.ts]
data:
  seed: { source: textworld.seed, params: { seed: 0 } }
  corpus: { source: textworld.corpus, params: { seed: 0 } }
models: { base: { path: ${world}/base/rated } }
parameters: { rounds: ${rounds}, keep: { threshold: 5 }, sft: { maxTokens: 256 } }
`;
