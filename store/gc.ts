/** Garbage collection: plans what no experiment needs, for you to read, then removes the part of the plan that still holds. */
import { basename, join, relative } from 'node:path';
import { BackspinError } from '../schemas/errors.ts';
import { isClosed, type ExperimentRecord } from '../schemas/experiment.ts';
import type { GcPlan, Output } from '../schemas/store.ts';
import { canonicalJson, sha256 } from '../schemas/canonical.ts';
import type { Blobs, Entry } from './blobs.ts';
import type { Store } from './store.ts';

export type Swept = GcPlan['sweep'][number];

/** Milliseconds. A younger file may belong to a process that has not recorded it yet. */
const MIN_AGE = 3_600_000;

/** Writes nothing. Throws `ArtifactDamaged` if it cannot read the record of an experiment. */
export async function planGc(store: Store, now = Date.now()): Promise<GcPlan> {
  const experiments = await store.experiments();
  const open = experiments.filter((one) => !isClosed(one)).map(({ name }) => name);
  const files = await listFiles(store.blobs);
  const needed = await reachable(store, experiments, files.outputs);
  const unneeded = (entries: readonly Entry[]) => entries.filter((entry) => !needed.has(digestIn(entry)));
  const committed = new Set(files.outputs.map(digestIn));
  const ended = files.work.filter((entry) => open.length === 0 || committed.has(digestIn(entry)));

  const sweep: Swept[] = [];
  const add = (entries: readonly Entry[], why: string) => {
    for (const { path, bytes, changed } of entries)
      if (changed < now - MIN_AGE) sweep.push({ path: relative(store.root, path), bytes, why });
  };
  if (open.length === 0) {
    add(unneeded(files.outputs), 'no experiment has this step');
    add(unneeded(files.datasets), 'no experiment names this dataset');
    add(unneeded(files.models), 'no experiment names this model');
    add(unneeded(files.tables), 'a table of a dataset that no experiment names');
    add(unneeded(files.blobs), 'no dataset that is needed has this shard');
  }
  add(ended, 'scratch of a step that ended');
  add(files.temporary, 'left by a process that ended');
  const plan = { store: store.id, made: new Date(now).toISOString(), open, sweep, bytes: sweep.reduce((sum, { bytes }) => sum + bytes, 0) };
  return { ...plan, digest: sha256(canonicalJson(plan)) };
}

/** Removes the entries of the plan that a new plan would also have, and returns them. Throws `ConfigError` if the plan was edited or
 *  belongs to another store. */
export async function applyGc(store: Store, plan: GcPlan, now = Date.now()): Promise<readonly Swept[]> {
  const { digest, ...rest } = plan;
  if (sha256(canonicalJson(rest)) !== digest)
    throw new BackspinError(
      'ConfigError',
      `The plan ${digest.slice(0, 16)} was changed after it was made: make a new one with \`backspin gc\`.`,
    );
  if (plan.store !== store.id)
    throw new BackspinError(
      'ConfigError',
      `The plan ${digest.slice(0, 16)} is of the store ${plan.store}, and this one, ${store.location}, is ${store.id}: run it in its own home.`,
    );
  const planned = new Set(plan.sweep.map(({ path }) => path));
  const sweep = (await planGc(store, now)).sweep.filter(({ path }) => planned.has(path));
  for (const { path } of sweep) await store.blobs.remove(join(store.root, path));
  return sweep;
}

const digestIn = ({ path }: Pick<Entry, 'path'>) => basename(path).slice(0, 64);

/** Digests that experiments name, that those artifacts name, and so on. Also keeps the outputs of the prefixes of a needed chain: the next
 *  chain may start with them. */
async function reachable(store: Store, experiments: readonly ExperimentRecord[], outputs: readonly Entry[]): Promise<Set<string>> {
  const { paths } = store.blobs;
  const needed = new Set<string>();
  const mark = async (text: string) => {
    const found = digestsIn(text);
    for (let digest = found.pop(); digest !== undefined; digest = found.pop()) {
      if (needed.has(digest)) continue;
      needed.add(digest);
      for (const path of [paths.output(digest), paths.dataset(digest), join(paths.model(digest), 'manifest.json')])
        found.push(...digestsIn((await store.blobs.read(path))?.toString() ?? ''));
    }
  };
  for (const experiment of experiments) await mark(canonicalJson(experiment));

  const chains = new Map<string, Set<string>>();
  const rest: { readonly stepKey: string; readonly of: string; readonly operation: string }[] = [];
  for (const entry of outputs) {
    const made = await readOutput(store, digestIn(entry));
    if (!made) continue;
    const of = made.inputs.join();
    if (!needed.has(made.stepKey)) rest.push({ stepKey: made.stepKey, of, operation: made.operation });
    else for (const chain of chainPrefixes(made.operation)) chains.set(of, (chains.get(of) ?? new Set()).add(chain));
  }
  for (const { stepKey, of, operation } of rest) if (chains.get(of)?.has(operation)) await mark(stepKey);
  return needed;
}

/** Copies each digest, because a part of a text keeps the whole text in memory. */
const digestsIn = (text: string): string[] =>
  (text.match(/[0-9a-f]{64}/g) ?? []).map((digest) => Buffer.from(digest, 'hex').toString('hex'));

/** Returns undefined for a damaged output, which is then kept or removed by its name alone. */
async function readOutput(store: Store, stepKey: string): Promise<Output | undefined> {
  try {
    return await store.output(stepKey);
  } catch (error) {
    if (error instanceof BackspinError) return undefined;
    throw error;
  }
}

/** Returns `a` and `a>b` for `a>b>c`. */
const chainPrefixes = (chain: string): string[] => chain.split('>').flatMap((_, i, ids) => (i === 0 ? [] : [ids.slice(0, i).join('>')]));

async function listFiles(blobs: Blobs) {
  const { blobs: shards, datasets, models, outputs, work, tables } = blobs.paths.folders;
  return {
    outputs: await blobs.list(outputs, 2),
    datasets: await blobs.list(datasets),
    models: await blobs.list(models),
    blobs: await blobs.list(shards, 2),
    work: await blobs.list(work),
    tables: await blobs.list(tables),
    temporary: await blobs.list(blobs.paths.temporary),
  };
}
