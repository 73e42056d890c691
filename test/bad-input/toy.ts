/** A home with an experiment `toy` that ended after two rounds: `r1/judge` and `r2/judge` gave records, `r2/forward` a model. */
import { cpSync } from 'node:fs';
import { join } from 'node:path';
import { loadExperiment } from '../../experiments/config.ts';
import type { DatasetRef, Result } from '../../schemas/call.ts';
import type { ExperimentRecord, Step } from '../../schemas/experiment.ts';
import { sha256 } from '../../schemas/canonical.ts';
import { openStore } from '../../store/local.ts';
import { pathsOf, type Paths } from '../../store/paths.ts';
import { temporary } from '../cli/cli.ts';
import { aboutModel, experiment, output, put as putRecords, record } from '../support/store.ts';
import { put, type Home } from './case.ts';
import { files, sound } from './experiment.ts';

export interface Toy {
  readonly home: string;
  readonly paths: Paths;
  readonly kept: DatasetRef;
  readonly model: string;
  /** Of the one shard of `kept`. */
  readonly shard: string;
}

let made: Promise<Toy> | undefined;

async function make(): Promise<Toy> {
  const home = put(temporary(), { ...files, 'toy.yaml': sound });
  const store = await openStore(join(home, 'store'));
  const { bound, digest: configDigest } = await loadExperiment(join(home, 'toy.yaml'));
  const kept = await putRecords(store, [record({ text: 'one', score: 5 }), record({ text: 'two', score: 4 })]);
  const dropped = await putRecords(store, [record({ id: 'a', reason: 'no-score', evidence: 'I like it', value: { text: 'x' } })]);
  const folder = put(temporary(), { 'config.json': '{}', 'model.safetensors': 'weights' });
  const model = await store.putModel(folder, aboutModel);
  const steps = [
    await step('r1/judge', 'map', kept, dropped),
    await step('r2/judge', 'map', kept),
    await step('r2/forward', 'train', model),
  ];
  async function step(path: string, kind: Step['kind'], result: Result, bad: DatasetRef | null = null): Promise<Step> {
    const reasons = bad === null ? {} : { 'no-score': bad.rows };
    await store.putOutput(output(path, result, { verb: kind, in: 3, kept: 2, dropped: reasons, droppedRecords: bad }));
    const [round, name] = path.split('/') as [string, string];
    return {
      path,
      arm: null,
      round: Number(round.slice(1)),
      name,
      kind,
      operation: 'toy.step',
      state: 'completed',
      stepKey: sha256(path),
      cached: false,
      result,
    };
  }
  const record_: ExperimentRecord = experiment('toy', {
    recipe: 'humpback',
    config: bound,
    configDigest,
    round: 2,
    steps,
    result: { model },
  });
  await store.putExperiment(record_);
  const [shard] = (await store.dataset(kept)).shards;
  return { home, paths: pathsOf(store.root), kept, model: model.digest, shard: shard!.digest };
}

/** A copy of the home, altered. */
export const toyHome =
  (alter: (toy: Toy) => void | Promise<void> = () => {}): Home =>
  async () => {
    const toy = await (made ??= make());
    const home = temporary();
    cpSync(toy.home, home, { recursive: true });
    await alter({ ...toy, home, paths: pathsOf(join(home, 'store')) });
    return home;
  };
