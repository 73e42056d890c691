/** The interface of the store: content-addressed, append-only, shared by all workers and the CLI. A file appears whole or not at all; readers
 *  verify what they read. */
import type { AnyRef, DatasetRef, ModelRef, Result } from '../schemas/call.ts';
import type { Rec } from '../recipe/define.ts';
import type { DatasetManifest, Determinism, ModelManifest, Output } from '../schemas/store.ts';
import type { ExperimentRecord, RecordNews, StepNote } from '../schemas/experiment.ts';
import type { Blobs } from './blobs.ts';
import type { SharedWork } from './shared-work.ts';

/** Writes records in order into shards. `commit` fsyncs, writes the manifest and returns the reference. */
export interface DatasetWriter {
  add(record: Rec<unknown>): Promise<void>;
  commit(determinism: Determinism): Promise<DatasetRef>;
  /** Discards the records; does nothing after `commit`. The next gc removes shards without a reference. */
  abort(): Promise<void>;
}

/** Free bytes on the store's disk below which no new step begins, because it may not find the room to end. */
export const LOW_WATER = 2e9;

export interface Store {
  /** Eight random characters. Queue names and workflow ids start with them, so two stores can share a Temporal server. */
  readonly id: string;
  /** Absolute path of the folder on this host that holds its files, or copies of those in S3, and scratch. */
  readonly root: string;
  /** The store in messages: its folder, or its S3 address. */
  readonly location: string;
  /** Its files by name, for what works on the store as a whole. */
  readonly blobs: Blobs;
  /** What other hosts have of the scratch of running steps; undefined: the store is of this host alone. */
  readonly shared: SharedWork | undefined;

  write(schema: string): DatasetWriter;
  /**
   * Returns the records `from` (inclusive, counted from 0) to `to` (exclusive), with one shard in memory at a time. Throws
   * `ArtifactMissing`, or `ArtifactDamaged` with the shard's name if its digest or count differs, before it returns any record of that
   * shard.
   */
  read(ref: Pick<DatasetRef, 'digest'>, range?: { readonly from: number; readonly to: number }): AsyncIterable<Rec<unknown>>;
  /** Returns ids and parents of all records, without their values. Throws as `read` does. */
  heads(ref: Pick<DatasetRef, 'digest'>): AsyncIterable<Pick<Rec<unknown>, 'id' | 'from'>>;
  dataset(ref: Pick<DatasetRef, 'digest'>): Promise<DatasetManifest>;
  /** Verifies every shard of a dataset and returns their paths in record order, for programs that read JSON lines in zstd frames. Throws as
   *  `read` does. */
  shardFiles(ref: Pick<DatasetRef, 'digest'>): Promise<readonly string[]>;

  /** Copies a model folder into the store, or links its files where it can. The digest covers file names, bytes and an adapter's base. */
  putModel(
    folder: string,
    about: Omit<ModelManifest, 'kind' | 'digest' | 'files'>,
    overrides?: Readonly<Record<string, string | null>>,
  ): Promise<ModelRef>;
  model(ref: Pick<ModelRef, 'digest'>): Promise<ModelManifest>;
  /** Folder of a model for a subprocess to read. Verified once per process. */
  modelFolder(ref: Pick<ModelRef, 'digest'>): Promise<string>;

  /** Stores an output unless one exists, and returns the stored one. An output whose result was lost counts as missing. */
  putOutput(output: Output): Promise<Output>;
  output(stepKey: string): Promise<Output | undefined>;
  /** Keys of all steps with an output. */
  outputKeys(): Promise<readonly string[]>;

  /** Scratch folder of one step on this host: batches, journals, run folders. Survives crashes; the commit removes it. */
  work(stepKey: string): string;
  clearWork(stepKey: string): Promise<void>;

  /** Digest of a namespace's sources that the user has declared to give the same results as before. */
  same(namespace: string): Promise<string | undefined>;
  putSame(space: string, digest: string): Promise<void>;

  /** The text of a prompt file, by its sha256. */
  prompt(digest: string): Promise<string | undefined>;
  putPrompt(text: string): Promise<void>;

  /** Stores what the user permits workers to do. Only the command line writes it. */
  grant(what: object): Promise<void>;
  isGranted(what: object): Promise<boolean>;

  /** Writes the record. Also removes the step notes if the experiment has ended. */
  putExperiment(record: ExperimentRecord): Promise<void>;
  /** Adds to a record. Ignores repeated and outdated additions. Returns false if the store lacks the version that the addition builds on.
   */
  addToExperiment(news: RecordNews): Promise<boolean>;
  /** The record. For an open experiment it includes the notes of its steps. */
  experiment(name: string): Promise<ExperimentRecord | undefined>;
  removeExperiment(name: string): Promise<void>;
  /** Notes the state of a step at once, for readers that cannot query its workflow. */
  noteStep(note: StepNote): Promise<void>;
  /** Keys of the steps that an open experiment had finished when new code took it over. They stay valid for it whatever has changed since.
   */
  finished(name: string): Promise<readonly string[]>;
  putFinished(name: string, stepKeys: readonly string[]): Promise<void>;
  experiments(): Promise<readonly ExperimentRecord[]>;
  experimentNames(): Promise<readonly string[]>;

  /** Whether all files of these results exist with the right sizes. Does not read their content. */
  has(result: Result | AnyRef): Promise<boolean>;
  /** Free bytes on the store's disk. */
  free(): Promise<number>;
}
