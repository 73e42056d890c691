/** Implements the store over files by name, wherever they are. */
import { randomBytes } from 'node:crypto';
import { rm, statfs } from 'node:fs/promises';
import { basename, join } from 'node:path';
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
import type { Blobs } from './blobs.ts';
import { damaged, ShardReader, ShardWriter, type Head } from './datasets.ts';
import { makeFolder } from './files.ts';
import { hasModel, ModelFolders, putModel, readModel, type AboutModel, type Overrides } from './models.ts';
import type { Paths } from './paths.ts';
import type { SharedWork } from './shared-work.ts';
import type { DatasetWriter, Store } from './store.ts';

type Digest = { readonly digest: string };

/** Opens the store over `blobs`; creates it if it does not exist. */
export async function openOver(blobs: Blobs, shared?: SharedWork): Promise<Store> {
  const { paths } = blobs;
  for (const folder of [paths.temporary, ...Object.values(paths.folders)]) await makeFolder(folder);
  let id = await blobs.read(paths.id);
  if (!id) {
    await blobs.putIfAbsent(paths.id, randomBytes(4).toString('hex'));
    id = (await blobs.read(paths.id))!;
  }
  if (!/^[0-9a-f]{8}$/.test(id.toString()))
    throw new BackspinError(
      'ArtifactDamaged',
      `${blobs.nameOf(paths.id)} should hold the eight characters that name this store: put them back; they begin the id of each of its workflows.`,
    );
  return new BlobStore(blobs, id.toString(), shared);
}

class BlobStore implements Store {
  readonly id: string;
  readonly root: string;
  readonly location: string;
  readonly blobs: Blobs;
  readonly shared: SharedWork | undefined;
  readonly #paths: Paths;
  readonly #reader: ShardReader;
  readonly #folders: ModelFolders;

  constructor(blobs: Blobs, id: string, shared: SharedWork | undefined) {
    this.id = id;
    this.root = blobs.paths.root;
    this.location = blobs.location;
    this.blobs = blobs;
    this.shared = shared;
    this.#paths = blobs.paths;
    this.#reader = new ShardReader(blobs);
    this.#folders = new ModelFolders(blobs);
  }

  write(schema: string): DatasetWriter {
    return new ShardWriter(this.blobs, schema);
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
      `The dataset ${digest} is not in ${this.location}: launch the experiment that made it again, and its step runs again.`,
    );
  }
  async shardFiles(ref: Digest): Promise<readonly string[]> {
    return this.#reader.files(await this.dataset(ref));
  }

  putModel(folder: string, about: AboutModel, overrides?: Overrides): Promise<ModelRef> {
    return putModel(this.blobs, folder, about, overrides);
  }
  model({ digest }: Digest): Promise<ModelManifest> {
    return readModel(this.blobs, digest);
  }
  modelFolder({ digest }: Digest): Promise<string> {
    return this.#folders.of(digest);
  }

  async putOutput(made: Output): Promise<Output> {
    const path = this.#paths.output(made.stepKey);
    const text = `${canonicalJson(output.parse(made))}\n`;
    for (;;) {
      if (await this.blobs.putIfAbsent(path, text)) return made;
      const first = await this.output(made.stepKey);
      if (first && (await this.has(first.result))) return first;
      if (!first) continue;
      // The stored result was lost. The first process that notices decides on the replacement, so all processes use the same one.
      const successor = join(this.#paths.temporary, `after-${sha256(canonicalJson(first))}.json`);
      await this.blobs.putIfAbsent(successor, text);
      const next = await this.#json(successor, output, (one) => one.stepKey === made.stepKey).catch(() => undefined);
      const stands = next && (await this.has(next.result)) ? next : made;
      await this.blobs.write(path, `${canonicalJson(stands)}\n`);
    }
  }
  output(stepKey: string): Promise<Output | undefined> {
    return this.#json(this.#paths.output(stepKey), output, (made) => made.stepKey === stepKey);
  }

  work(stepKey: string): string {
    return this.#paths.work(stepKey);
  }
  async clearWork(stepKey: string): Promise<void> {
    await rm(this.work(stepKey), { recursive: true, force: true });
    await this.shared?.clear(this.work(stepKey));
  }

  async same(namespace: string): Promise<string | undefined> {
    return (await this.blobs.read(this.#paths.same(namespace)))?.toString();
  }
  async putSame(namespace: string, digest: string): Promise<void> {
    if ((await this.same(namespace)) !== digest) await this.blobs.write(this.#paths.same(namespace), digest);
  }

  async prompt(digest: string): Promise<string | undefined> {
    const path = this.#paths.prompt(digest);
    const text = (await this.blobs.read(path))?.toString();
    if (text !== undefined && sha256(text) !== digest)
      throw damaged(this.blobs.nameOf(path), 'is not the prompt that it is named after', { remedy: 'remove it' });
    return text;
  }
  async putPrompt(text: string): Promise<void> {
    await this.blobs.putIfAbsent(this.#paths.prompt(sha256(text)), text);
  }

  async grant(what: object): Promise<void> {
    const text = canonicalJson(what);
    await this.blobs.putIfAbsent(this.#paths.grant(sha256(text)), text);
  }
  async isGranted(what: object): Promise<boolean> {
    return (await this.blobs.size(this.#paths.grant(sha256(canonicalJson(what))))) !== undefined;
  }

  async putExperiment(record: ExperimentRecord): Promise<void> {
    const text = `${canonicalJson(experimentRecord.parse(record))}\n`;
    await this.blobs.write(this.#paths.experiment(record.name), text);
    if (isClosed(record)) await this.blobs.remove(this.#paths.notes(record.name));
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
    for (const { path, state } of news.steps) if (state === 'completed') await this.blobs.remove(this.#note(news.name, path));
    return true;
  }
  #record(name: string): Promise<ExperimentRecord | undefined> {
    const remedy = 'launch the experiment again, and it is written anew; what it has finished is taken from the store';
    return this.#json(this.#paths.experiment(name), experimentRecord, (read) => read.name === name, remedy);
  }
  async experiment(name: string): Promise<ExperimentRecord | undefined> {
    if (!/^[a-z0-9-]+(~\d+)?$/.test(name)) return undefined;
    const record = await this.#record(name);
    return record && !isClosed(record) ? { ...record, steps: mergeNotes(record.steps, await this.#stepNotes(record)) } : record;
  }
  async removeExperiment(name: string): Promise<void> {
    await this.blobs.remove(this.#paths.experiment(name));
    await this.blobs.remove(this.#paths.notes(name));
  }
  noteStep(note: StepNote): Promise<void> {
    return this.blobs.write(this.#note(note.experiment, note.step.path), `${canonicalJson(stepNote.parse(note))}\n`);
  }
  async finished(name: string): Promise<readonly string[]> {
    return ((await this.blobs.read(this.#finished(name)))?.toString() ?? '').split('\n').filter(Boolean);
  }
  async putFinished(name: string, stepKeys: readonly string[]): Promise<void> {
    await this.blobs.write(this.#finished(name), stepKeys.join('\n'));
  }
  #finished = (name: string): string => join(this.#paths.notes(name), 'finished');
  #note(experiment: string, path: string): string {
    return join(this.#paths.notes(experiment), `${sha256(path).slice(0, 32)}.json`);
  }
  /** Notes in the order of their writing. Skips unreadable ones: the record is the truth. */
  async #stepNotes({ name, configDigest }: ExperimentRecord): Promise<Step[]> {
    const files = (await this.blobs.list(this.#paths.notes(name))).filter(({ path }) => path.endsWith('.json'));
    const notes = files.map(async ({ path, changed }) => {
      const note = await this.#json(path, stepNote, () => true).catch(() => undefined);
      return note && note.configDigest === configDigest ? [{ step: note.step, at: changed }] : [];
    });
    const all = (await Promise.all(notes)).flat();
    return all.toSorted((a, b) => a.at - b.at).map(({ step }) => step);
  }
  async experiments(): Promise<readonly ExperimentRecord[]> {
    const records = await Promise.all((await this.experimentNames()).map((name) => this.experiment(name)));
    return records.filter((record) => record !== undefined);
  }
  async experimentNames(): Promise<readonly string[]> {
    const entries = await this.blobs.list(this.#paths.folders.experiments);
    return entries.flatMap(({ path }) => (path.endsWith('.json') ? [basename(path, '.json')] : []));
  }
  async outputKeys(): Promise<readonly string[]> {
    return (await this.blobs.list(this.#paths.folders.outputs, 2)).map(({ path }) => basename(path, '.json'));
  }

  async has(result: Result | AnyRef): Promise<boolean> {
    for (const ref of isRef(result) ? [result] : Object.values(result)) {
      if (ref.kind === 'model' && !(await hasModel(this.blobs, ref.digest))) return false;
      if (ref.kind === 'dataset' && !(await this.#hasDataset(ref))) return false;
    }
    return true;
  }
  #dataset(digest: string): Promise<DatasetManifest | undefined> {
    return this.#json(this.#paths.dataset(digest), datasetManifest, (manifest) => manifest.digest === digest);
  }
  async #hasDataset({ digest }: DatasetRef): Promise<boolean> {
    const manifest = await this.#dataset(digest);
    const sizes = await Promise.all(manifest?.shards.map((shard) => this.blobs.size(this.#paths.blob(shard.digest))) ?? []);
    return manifest !== undefined && sizes.every((size) => size !== undefined && size > 0);
  }

  async free(): Promise<number> {
    const { bavail, bsize } = await statfs(this.root);
    return bavail * bsize;
  }

  /** Reads a JSON file and checks its schema and name. Returns undefined if it does not exist. */
  async #json<T>(path: string, schema: z.ZodType<T>, matchesName: (value: T) => boolean, remedy?: string): Promise<T | undefined> {
    const text = await this.blobs.read(path);
    if (text === undefined) return undefined;
    const name = this.blobs.nameOf(path);
    let json: unknown;
    let value: T;
    try {
      json = JSON.parse(text.toString());
      value = schema.parse(json);
    } catch (error) {
      throw damaged(name, `does not read as what it should be (${faultOf(error, json)})`, { cause: error, remedy });
    }
    if (!matchesName(value)) throw damaged(name, 'holds what belongs under another name', { remedy });
    return value;
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
