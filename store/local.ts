/** Implements the store as a local directory. */
import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { readdir, readFile, rm, stat, statfs } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import type { z } from 'zod';
import { isRef, type AnyRef, type DatasetRef, type ModelRef, type Result } from '../schemas/call.ts';
import type { Rec } from '../recipe/define.ts';
import { BackspinError } from '../schemas/errors.ts';
import { faultOf } from '../schemas/faults.ts';
import {
  experimentRecord,
  isClosed,
  latest,
  stepNote,
  type ExperimentRecord,
  type RecordNews,
  type Step,
  type StepNote,
} from '../schemas/experiment.ts';
import { datasetManifest, output, type DatasetManifest, type ModelManifest, type Output } from '../schemas/store.ts';
import { canonicalJson, sha256 } from '../schemas/canonical.ts';
import { damaged, ShardReader, ShardWriter, type Head } from './datasets.ts';
import { ifThere, isThere, makeFolder, putIfAbsent, writeAtomic } from './files.ts';
import { hasModel, ModelFolders, putModel, readModel, type AboutModel, type Overrides } from './models.ts';
import { pathsOf, type Paths } from './paths.ts';
import type { DatasetWriter, Store } from './store.ts';

type Digest = { readonly digest: string };

/** Opens the store in a folder; creates it if it does not exist. */
export async function openStore(root: string): Promise<Store> {
  const paths = pathsOf(resolve(root));
  for (const folder of [paths.temporary, ...Object.values(paths.folders)]) await makeFolder(folder);
  if (!existsSync(paths.id)) await putIfAbsent(paths.id, randomBytes(4).toString('hex'), paths.temporary);
  const id = await readFile(paths.id, 'utf8');
  if (!/^[0-9a-f]{8}$/.test(id))
    throw new BackspinError(
      'ArtifactDamaged',
      `${paths.id} should hold the eight characters that name this store: put them back; they begin the id of each of its workflows.`,
    );
  return new LocalStore(paths, id);
}

class LocalStore implements Store {
  readonly id: string;
  readonly root: string;
  readonly #paths: Paths;
  readonly #reader: ShardReader;
  readonly #folders: ModelFolders;

  constructor(paths: Paths, id: string) {
    this.id = id;
    this.root = paths.root;
    this.#paths = paths;
    this.#reader = new ShardReader(paths);
    this.#folders = new ModelFolders(paths);
  }

  write(schema: string): DatasetWriter {
    return new ShardWriter(this.#paths, schema);
  }
  async *read(ref: Digest, range?: { from: number; to: number }): AsyncGenerator<Rec<unknown>> {
    yield* this.#reader.records(await this.dataset(ref), range);
  }
  async *heads(ref: Digest): AsyncGenerator<Head> {
    yield* this.#reader.heads(await this.dataset(ref));
  }
  async dataset({ digest }: Digest): Promise<DatasetManifest> {
    const manifest = await this.#dataset(digest);
    if (manifest) return manifest;
    throw new BackspinError(
      'ArtifactMissing',
      `The dataset ${digest} is not in ${this.root}: launch the experiment that made it again, and its step runs again.`,
    );
  }
  async shardFiles(ref: Digest): Promise<readonly string[]> {
    return this.#reader.files(await this.dataset(ref));
  }

  putModel(folder: string, about: AboutModel, overrides?: Overrides): Promise<ModelRef> {
    return putModel(this.#paths, folder, about, overrides);
  }
  model({ digest }: Digest): Promise<ModelManifest> {
    return readModel(this.#paths, digest);
  }
  modelFolder({ digest }: Digest): Promise<string> {
    return this.#folders.of(digest);
  }

  async putOutput(made: Output): Promise<Output> {
    const path = this.#paths.output(made.stepKey);
    const text = `${canonicalJson(output.parse(made))}\n`;
    for (;;) {
      if (await putIfAbsent(path, text, this.#paths.temporary)) return made;
      const first = await this.output(made.stepKey);
      if (first && (await this.has(first.result))) return first;
      if (!first) continue;
      // The stored result was lost. The first process that notices decides on the replacement, so all processes use the same one.
      const successor = join(this.#paths.temporary, `after-${sha256(canonicalJson(first))}.json`);
      await putIfAbsent(successor, text, this.#paths.temporary);
      const next = await readJson(successor, output, (one) => one.stepKey === made.stepKey).catch(() => undefined);
      const stands = next && (await this.has(next.result)) ? next : made;
      await writeAtomic(path, `${canonicalJson(stands)}\n`, this.#paths.temporary);
    }
  }
  output(stepKey: string): Promise<Output | undefined> {
    return readJson(this.#paths.output(stepKey), output, (made) => made.stepKey === stepKey);
  }

  work(stepKey: string): string {
    return this.#paths.work(stepKey);
  }
  clearWork(stepKey: string): Promise<void> {
    return rm(this.work(stepKey), { recursive: true, force: true });
  }

  same(namespace: string): Promise<string | undefined> {
    return ifThere(readFile(this.#paths.same(namespace), 'utf8'));
  }
  async putSame(namespace: string, digest: string): Promise<void> {
    if ((await this.same(namespace)) !== digest) await writeAtomic(this.#paths.same(namespace), digest, this.#paths.temporary);
  }

  async prompt(digest: string): Promise<string | undefined> {
    const path = this.#paths.prompt(digest);
    const text = await ifThere(readFile(path, 'utf8'));
    if (text !== undefined && sha256(text) !== digest)
      throw damaged(path, 'is not the prompt that it is named after', { remedy: 'remove it' });
    return text;
  }
  async putPrompt(text: string): Promise<void> {
    await putIfAbsent(this.#paths.prompt(sha256(text)), text, this.#paths.temporary);
  }

  async grant(what: object): Promise<void> {
    const text = canonicalJson(what);
    await putIfAbsent(this.#paths.grant(sha256(text)), text, this.#paths.temporary);
  }
  isGranted(what: object): Promise<boolean> {
    return isThere(this.#paths.grant(sha256(canonicalJson(what))));
  }

  async putExperiment(record: ExperimentRecord): Promise<void> {
    const text = `${canonicalJson(experimentRecord.parse(record))}\n`;
    await writeAtomic(this.#paths.experiment(record.name), text, this.#paths.temporary);
    if (isClosed(record)) await rm(this.#paths.notes(record.name), { recursive: true, force: true });
  }
  async addToExperiment({ since, only, ...news }: RecordNews): Promise<boolean> {
    const before = await this.#record(news.name).catch((error: unknown) => {
      if (error instanceof BackspinError) return undefined; // damaged: write the whole record again
      throw error;
    });
    const has = before?.written;
    if (has?.run === news.written.run && has.count >= news.written.count) return true;
    if (since !== null && !(has?.run === since.run && has.count >= since.count)) return false;
    const stay = only && new Set(only);
    const steps = latest(before?.steps ?? [], news.steps).filter(({ path }) => stay?.has(path) ?? true);
    await this.putExperiment({ ...news, steps });
    for (const { path, state } of news.steps) if (state === 'completed') await rm(this.#note(news.name, path), { force: true });
    return true;
  }
  #record(name: string): Promise<ExperimentRecord | undefined> {
    const remedy = 'launch the experiment again, and it is written anew; what it has finished is taken from the store';
    return readJson(this.#paths.experiment(name), experimentRecord, (read) => read.name === name, remedy);
  }
  async experiment(name: string): Promise<ExperimentRecord | undefined> {
    if (!/^[a-z0-9-]+(~\d+)?$/.test(name)) return undefined;
    const record = await this.#record(name);
    return record && !isClosed(record) ? { ...record, steps: mergeNotes(record.steps, await this.#stepNotes(record)) } : record;
  }
  async removeExperiment(name: string): Promise<void> {
    await rm(this.#paths.experiment(name), { force: true });
    await rm(this.#paths.notes(name), { recursive: true, force: true });
  }
  noteStep(note: StepNote): Promise<void> {
    return writeAtomic(this.#note(note.experiment, note.step.path), `${canonicalJson(stepNote.parse(note))}\n`, this.#paths.temporary);
  }
  async finished(name: string): Promise<readonly string[]> {
    return ((await ifThere(readFile(this.#finished(name), 'utf8'))) ?? '').split('\n').filter(Boolean);
  }
  async putFinished(name: string, stepKeys: readonly string[]): Promise<void> {
    await writeAtomic(this.#finished(name), stepKeys.join('\n'), this.#paths.temporary);
  }
  #finished = (name: string): string => join(this.#paths.notes(name), 'finished');
  #note(experiment: string, path: string): string {
    return join(this.#paths.notes(experiment), `${sha256(path).slice(0, 32)}.json`);
  }
  /** Notes in the order of their writing. Skips unreadable ones: the record is the truth. */
  async #stepNotes({ name, configDigest }: ExperimentRecord): Promise<Step[]> {
    const folder = this.#paths.notes(name);
    const files = ((await ifThere(readdir(folder))) ?? []).filter((file) => file.endsWith('.json')).map((file) => join(folder, file));
    const notes = files.map(async (path) => {
      const [note, stats] = [await readJson(path, stepNote, () => true).catch(() => undefined), await ifThere(stat(path))];
      return note && note.configDigest === configDigest ? [{ step: note.step, at: stats?.mtimeMs ?? 0 }] : [];
    });
    const all = (await Promise.all(notes)).flat();
    return all.toSorted((a, b) => a.at - b.at).map(({ step }) => step);
  }
  async experiments(): Promise<readonly ExperimentRecord[]> {
    const records = await Promise.all((await this.experimentNames()).map((name) => this.experiment(name)));
    return records.filter((record) => record !== undefined);
  }
  async experimentNames(): Promise<readonly string[]> {
    const files = await readdir(this.#paths.folders.experiments);
    return files
      .filter((file) => file.endsWith('.json'))
      .map((file) => file.slice(0, -'.json'.length))
      .sort();
  }

  async has(result: Result | AnyRef): Promise<boolean> {
    for (const ref of isRef(result) ? [result] : Object.values(result)) {
      if (ref.kind === 'model' && !(await hasModel(this.#paths, ref.digest))) return false;
      if (ref.kind === 'dataset' && !(await this.#hasDataset(ref))) return false;
    }
    return true;
  }
  #dataset(digest: string): Promise<DatasetManifest | undefined> {
    return readJson(this.#paths.dataset(digest), datasetManifest, (manifest) => manifest.digest === digest);
  }
  async #hasDataset({ digest }: DatasetRef): Promise<boolean> {
    const manifest = await this.#dataset(digest);
    const sizes = await Promise.all(manifest?.shards.map((shard) => ifThere(stat(this.#paths.blob(shard.digest)))) ?? []);
    return manifest !== undefined && sizes.every((stats) => stats !== undefined && stats.size > 0);
  }

  async free(): Promise<number> {
    const { bavail, bsize } = await statfs(this.root);
    return bavail * bsize;
  }
}

/** Updates recorded steps by later notes, unless the record says that a step has ended. */
function mergeNotes(recorded: readonly Step[], noted: readonly Step[]): Step[] {
  const news = new Map(noted.map((step) => [step.path, step]));
  const updated = recorded.map((step) => {
    const note = news.get(step.path);
    // A note that a step has begun is older than its attention state.
    return !note || step.state === 'completed' || (note.state === 'running' && step.state !== 'running') ? step : note;
  });
  const paths = new Set(recorded.map(({ path }) => path));
  return [...updated, ...noted.filter(({ path }) => !paths.has(path))];
}

/** Reads a JSON file of the store and checks its schema and name. Returns undefined if it does not exist. */
async function readJson<T>(
  path: string,
  schema: z.ZodType<T>,
  matchesName: (value: T) => boolean,
  remedy?: string,
): Promise<T | undefined> {
  const text = await ifThere(readFile(path, 'utf8'));
  if (text === undefined) return undefined;
  let json: unknown;
  let value: T;
  try {
    json = JSON.parse(text);
    value = schema.parse(json);
  } catch (error) {
    throw damaged(path, `does not read as what it should be (${faultOf(error, json)})`, { cause: error, remedy });
  }
  if (!matchesName(value)) throw damaged(path, 'holds what belongs under another name', { remedy });
  return value;
}
