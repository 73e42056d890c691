/** What the store keeps: manifests, step outputs, experiments. Canonical JSON on disk. */
import { z } from 'zod';

export const digest = z.string().regex(/^[0-9a-f]{64}$/, 'a sha256 in hex');
export const stepKey = digest;

export const datasetRef = z.strictObject({
  kind: z.literal('dataset'),
  digest,
  rows: z.int().min(0),
  share: z.number().min(0).max(1).optional(),
});
export const modelRef = z.strictObject({ kind: z.literal('model'), digest });
export const reportRef = z.strictObject({
  kind: z.literal('report'),
  digest,
  metrics: z.record(z.string(), z.number()),
  oracle: z.boolean(),
});
export const anyRef = z.discriminatedUnion('kind', [datasetRef, modelRef, reportRef]);
export const result = z.union([anyRef, z.record(z.string(), anyRef)]);

/** How far the bytes of a result can be had again; inherited downstream, the weakest wins. Equality is promised for the first two, on
 *  machines of one kind: the same CPU, and the devices and threads that are in the key. What a training pool computes on CUDA is `sampled`. */
export const determinism = z.enum(['exact', 'seeded', 'sampled', 'timing']);
export type Determinism = z.infer<typeof determinism>;

/** `datasets/DIGEST.json` */
export const datasetManifest = z
  .strictObject({
    kind: z.literal('dataset'),
    schema: z.string(),
    digest,
    rows: z.int().min(0),
    /** Uncompressed. */
    bytes: z.int().min(0),
    /** In record order; one zstd frame each, at most 10,000 records or 32 MiB. `digest` is of the uncompressed bytes and names the blob. */
    shards: z.array(z.strictObject({ digest, rows: z.int().min(0), bytes: z.int().min(0) })),
    determinism,
  })
  .refine(
    ({ rows, bytes, shards }) =>
      rows === shards.reduce((sum, shard) => sum + shard.rows, 0) && bytes === shards.reduce((sum, shard) => sum + shard.bytes, 0),
    'its shards do not add up to its rows and bytes',
  );
export type DatasetManifest = z.infer<typeof datasetManifest>;

/** What an external model answered when it was brought in. */
const canary = z.array(z.strictObject({ question: z.string(), answer: z.string() }));
export type Canary = z.infer<typeof canary>;

/** `models/DIGEST/manifest.json`, beside the files. The digest is sha256 over the sorted `name sha256` lines of `files`, and for an
 *  adapter a line `base DIGEST`: it stands for the weights that serve. */
export const modelManifest = z.strictObject({
  kind: z.literal('model'),
  digest,
  files: z.array(z.strictObject({ name: z.string(), sha256: digest, bytes: z.int().min(0) })),
  /** Weights to be made by the first training (`init`), weights that serve, or what somebody else serves. */
  state: z.enum(['weights', 'init', 'external']),
  canary: canary.exactOptional(),
  /** Of an adapter: the whole weights that it goes upon. */
  base: digest.nullable().default(null),
  /** What it was trained from. */
  from: digest.nullable(),
  dataset: digest.nullable(),
  /** Id of the template of its training rows. */
  template: z.string().nullable(),
  settings: z.record(z.string(), z.unknown()).nullable(),
  steps: z.int().nullable(),
  lastLearningRate: z.number().nullable(),
  determinism,
});
export type ModelManifest = z.infer<typeof modelManifest>;

/** `outputs/STEPKEY.json`: what a step gave and what it did. First writer wins. */
export const output = z.strictObject({
  stepKey,
  verb: z.enum(['map', 'reduce', 'train', 'evaluate']),
  operation: z.string(),
  result,
  in: z.int().min(0),
  kept: z.int().min(0),
  /** Sources of which nothing was kept, by reason: `in` is `kept` and these. */
  dropped: z.record(z.string(), z.int().min(0)),
  /** Records that were made of a source and dropped by a later operator of the chain, while something else of it was kept or went
   *  after them. */
  parts: z.record(z.string(), z.int().min(0)).exactOptional(),
  /** Of a map that asks models: how the replies end of which nothing could be read (dropped as `no-...`), the most frequent first. Endings
   *  that differ in their digits count as one. */
  unread: z.array(z.strictObject({ ending: z.string(), count: z.int().min(1) })).exactOptional(),
  /** The dropped records with reason and evidence: a dataset of `{ id, reason, evidence, value }`, `id` and `value` being the record's. */
  droppedRecords: datasetRef.nullable(),
  /** Of the evaluation of a model: what it answered, a dataset of `{ item, answer }`, with `measured` where the suite measures each. */
  answers: datasetRef.exactOptional(),
  /** Of a source that tells: where each record of its result comes from, by the record's id. */
  origins: datasetRef.exactOptional(),
  requests: z.int().min(0),
  tokens: z.int().min(0),
  /** Fresh samples that operators took of a record until one would do, the first included (`context.attempts`). */
  attempts: z.int().min(0).exactOptional(),
  seconds: z.number().min(0),
  /** Digests of every reference that entered. */
  inputs: z.array(digest),
  params: z.unknown(),
  /** Operator, template, prompt and suite ids with their versions, and the digest of the sources that define them. */
  versions: z.record(z.string(), z.int()),
  sources: z.record(z.string(), z.string()),
  determinism,
  made: z.iso.datetime(),
});
export type Output = z.infer<typeof output>;

/** A file that `backspin gc` writes for a person to read, and reads back to remove what it names. */
export const gcPlan = z.strictObject({
  /** Id of the store. */
  store: z.string(),
  made: z.iso.datetime(),
  /** Experiments that have not ended. What they made since their record was last written cannot be told from what nobody needs, so
   *  while there are any, only leftovers of steps and processes that ended go. */
  open: z.array(z.string()),
  sweep: z.array(
    z.strictObject({
      /** A file or folder, within the store. In an order that can stop anywhere: whoever names goes before what is named. */
      path: z.string(),
      bytes: z.int().min(0),
      why: z.string(),
    }),
  ),
  bytes: z.int().min(0),
  /** sha256 of all of the above. */
  digest,
});
export type GcPlan = z.infer<typeof gcPlan>;
