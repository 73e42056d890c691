/**
 * The store: content-addressed, append-only, shared by every worker and the CLI. A local directory now; S3 behind the same
 * interface later. Everything is written to a temporary name, fsynced and renamed; a reader verifies what it reads.
 */
import type { AnyRef, DatasetRef, ModelRef, Result } from '../schemas/call.ts';
import type { Rec } from '../recipe/define.ts';
import type { DatasetManifest, Determinism, ModelManifest, Output } from '../schemas/store.ts';
import type { ExperimentRecord, RecordNews, StepNote } from '../schemas/experiment.ts';

/** Writes records in order into shards; `commit` fsyncs, writes the manifest and gives the reference. */
export interface DatasetWriter {
  add(record: Rec<unknown>): Promise<void>;
  commit(determinism: Determinism): Promise<DatasetRef>;
  /** Forgets what was added; harmless after `commit`. Shards that nothing points to go with the next gc. */
  abort(): Promise<void>;
}

/** Bytes free on its disk; with less a step may not find the room to end, and none begins. */
export const LOW_WATER = 2e9;

export interface Store {
  /** Eight characters, made once: begins queue names and workflow ids, so two stores on one Temporal never meet. */
  readonly id: string;
  /** Absolute path, for children that read files. */
  readonly root: string;

  write(schema: string): DatasetWriter;
  /** Records in order, `from` (from 0, inclusive) to `to` (exclusive), one shard in memory at a time. Throws `ArtifactMissing`, or
   *  `ArtifactDamaged` naming the shard when digest or count differ, before any record of that shard is given. */
  read(ref: Pick<DatasetRef, 'digest'>, range?: { readonly from: number; readonly to: number }): AsyncIterable<Rec<unknown>>;
  dataset(ref: Pick<DatasetRef, 'digest'>): Promise<DatasetManifest>;

  /** Copies a folder in; links where it can. The digest follows from file names and bytes, and an adapter's base. */
  putModel(
    folder: string,
    about: Omit<ModelManifest, 'kind' | 'digest' | 'files'>,
    instead?: Readonly<Record<string, string>>,
  ): Promise<ModelRef>;
  model(ref: Pick<ModelRef, 'digest'>): Promise<ModelManifest>;
  /** The verified folder of a model, for a child to read. Verified once per process. */
  modelFolder(ref: Pick<ModelRef, 'digest'>): Promise<string>;

  /** Put if absent; gives what is there afterwards. One whose result is no longer there counts as absent. */
  putOutput(output: Output): Promise<Output>;
  output(stepKey: string): Promise<Output | undefined>;

  /** Scratch of one step: batches, journals, run folders. Survives crashes, goes at commit. */
  work(stepKey: string): string;
  clearWork(stepKey: string): Promise<void>;

  /** Of the sources of a namespace of operators, the digest that somebody said gives the same results as any before. */
  same(namespace: string): Promise<string | undefined>;
  putSame(space: string, digest: string): Promise<void>;

  /** What a person has let workers do, by its content: written by the command line alone. */
  grant(what: object): Promise<void>;
  isGranted(what: object): Promise<boolean>;

  /** The notes of the steps of one that has ended go. */
  putExperiment(record: ExperimentRecord): Promise<void>;
  /** Adds to a record; what comes after its successor, or once more, changes nothing. False: the store lacks what it builds on. */
  addToExperiment(news: RecordNews): Promise<boolean>;
  /** Its record; while it is open, with what its steps have noted. */
  experiment(name: string): Promise<ExperimentRecord | undefined>;
  removeExperiment(name: string): Promise<void>;
  /** Notes how far a step is, as soon as that is known: for whoever asks when its workflow cannot be asked. */
  noteStep(note: StepNote): Promise<void>;
  /** Keys of the steps that an open experiment had finished when other code took it over: its own, whatever has changed since. */
  finished(name: string): Promise<readonly string[]>;
  putFinished(name: string, stepKeys: readonly string[]): Promise<void>;
  experiments(): Promise<readonly ExperimentRecord[]>;
  experimentNames(): Promise<readonly string[]>;

  /** Whether every byte of these results is there (a look at names and sizes, not at content). */
  has(result: Result | AnyRef): Promise<boolean>;
  /** Bytes free on the disk that holds it. */
  free(): Promise<number>;
}
