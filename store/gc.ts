/** Garbage collection: plans what no experiment needs, for you to read, then removes the part of the plan that still holds. */
import { readdir, readFile, rename, rm, stat } from 'node:fs/promises';
import { basename, join, relative } from 'node:path';
import { BackspinError } from '../schemas/errors.ts';
import { isClosed, type ExperimentRecord } from '../schemas/experiment.ts';
import type { GcPlan, Output } from '../schemas/store.ts';
import { canonicalJson, sha256 } from '../schemas/canonical.ts';
import { ifThere, temporary } from './files.ts';
import { pathsOf, type Paths } from './paths.ts';
import type { Store } from './store.ts';

export type Swept = GcPlan['sweep'][number];

/** Milliseconds. A younger file may belong to a process that has not recorded it yet. */
const MIN_AGE = 3_600_000;

/** Writes nothing. Throws `ArtifactDamaged` if it cannot read the record of an experiment. */
export async function planGc(store: Store, now = Date.now()): Promise<GcPlan> {
  const paths = pathsOf(store.root);
  const experiments = await store.experiments();
  const open = experiments.filter((one) => !isClosed(one)).map(({ name }) => name);
  const files = await listFiles(paths);
  const needed = await reachable(store, experiments, files.outputs);
  const unneeded = (files: readonly string[]) => files.filter((path) => !needed.has(digestIn(path)));
  const committed = new Set(files.outputs.map(digestIn));
  const ended = files.work.filter((path) => open.length === 0 || committed.has(digestIn(path)));

  const sweep: Swept[] = [];
  const add = async (files: readonly string[], why: string) => {
    for (const path of files) {
      const { bytes, newest } = await measure(path);
      if (newest < now - MIN_AGE) sweep.push({ path: relative(store.root, path), bytes, why });
    }
  };
  if (open.length === 0) {
    await add(unneeded(files.outputs), 'no experiment has this step');
    await add(unneeded(files.datasets), 'no experiment names this dataset');
    await add(unneeded(files.models), 'no experiment names this model');
    await add(unneeded(files.tables), 'a table of a dataset that no experiment names');
    await add(unneeded(files.blobs), 'no dataset that is needed has this shard');
  }
  await add(ended, 'scratch of a step that ended');
  await add(files.temporary, 'left by a process that ended');
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
      `The plan ${digest.slice(0, 16)} is of the store ${plan.store}, and this one, ${store.root}, is ${store.id}: run it in its own home.`,
    );
  const planned = new Set(plan.sweep.map(({ path }) => path));
  const sweep = (await planGc(store, now)).sweep.filter(({ path }) => planned.has(path));
  for (const { path } of sweep) {
    const trash = temporary(pathsOf(store.root).temporary, basename(path));
    await ifThere(rename(join(store.root, path), trash)); // rename first, so a folder disappears in one step
    await rm(trash, { recursive: true, force: true });
  }
  return sweep;
}

const digestIn = (path: string) => basename(path).slice(0, 64);

/** Digests that experiments name, that those artifacts name, and so on. Also keeps the outputs of the prefixes of a needed chain: the next
 *  chain may start with them. */
async function reachable(store: Store, experiments: readonly ExperimentRecord[], outputs: readonly string[]): Promise<Set<string>> {
  const paths = pathsOf(store.root);
  const needed = new Set<string>();
  const mark = async (text: string) => {
    const found = digestsIn(text);
    for (let digest = found.pop(); digest !== undefined; digest = found.pop()) {
      if (needed.has(digest)) continue;
      needed.add(digest);
      for (const path of [paths.output(digest), paths.dataset(digest), join(paths.model(digest), 'manifest.json')])
        found.push(...digestsIn((await ifThere(readFile(path, 'utf8'))) ?? ''));
    }
  };
  for (const experiment of experiments) await mark(canonicalJson(experiment));

  const chains = new Map<string, Set<string>>();
  const rest: { readonly stepKey: string; readonly of: string; readonly operation: string }[] = [];
  for (const path of outputs) {
    const made = await readOutput(store, digestIn(path));
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

async function listFiles(paths: Paths) {
  const { blobs, datasets, models, outputs, work, tables } = paths.folders;
  const inside = async (folder: string) => (await readdir(folder)).sort().map((name) => join(folder, name));
  const twoDeep = async (folder: string) => (await Promise.all((await inside(folder)).map(inside))).flat();
  return {
    outputs: await twoDeep(outputs),
    datasets: await inside(datasets),
    models: await inside(models),
    blobs: await twoDeep(blobs),
    work: await inside(work),
    tables: await inside(tables),
    temporary: await inside(paths.temporary),
  };
}

/** Bytes of a file or folder and its newest change (ms since 1970). Infinity: it has disappeared in the meantime. */
async function measure(path: string): Promise<{ bytes: number; newest: number }> {
  const stats = await ifThere(stat(path));
  if (!stats) return { bytes: 0, newest: Infinity };
  if (!stats.isDirectory()) return { bytes: stats.size, newest: stats.mtimeMs };
  const inner = await Promise.all((await readdir(path)).map((name) => measure(join(path, name))));
  return inner.reduce((sum, one) => ({ bytes: sum.bytes + one.bytes, newest: Math.max(sum.newest, one.newest) }), {
    bytes: 0,
    newest: stats.mtimeMs,
  });
}
