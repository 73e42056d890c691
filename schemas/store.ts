/** Schemas of the manifests and step outputs in the store. On disk they are canonical JSON. */
import { z } from 'zod';
import { curveMeasures } from './trainer.ts';

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

/** Reproducibility of a result; downstream results inherit the weakest. `exact` and `seeded` promise equal bytes on machines of the same
 *  kind: the same CPU, and the devices and threads in the key. Results of a training pool on CUDA are `sampled`, as are trainings in
 *  micro-batches, whose number depends on the memory. */
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
    /** In record order, one zstd frame each with at most 10,000 records or 32 MiB. `digest` covers the uncompressed bytes and names the
     *  blob. */
    shards: z.array(z.strictObject({ digest, rows: z.int().min(0), bytes: z.int().min(0) })),
    determinism,
  })
  .refine(
    ({ rows, bytes, shards }) =>
      rows === shards.reduce((sum, shard) => sum + shard.rows, 0) && bytes === shards.reduce((sum, shard) => sum + shard.bytes, 0),
    'its shards do not add up to its rows and bytes',
  );
export type DatasetManifest = z.infer<typeof datasetManifest>;

/** The answers of an external model at its import. */
const canary = z.array(z.strictObject({ question: z.string(), answer: z.string() }));
export type Canary = z.infer<typeof canary>;

/** `models/DIGEST/manifest.json`, beside the files. The digest is sha256 over the sorted `name sha256` lines of `files`, plus a line `base
 *  DIGEST` for an adapter. So it identifies the weights that serve. */
export const modelManifest = z.strictObject({
  kind: z.literal('model'),
  digest,
  files: z.array(z.strictObject({ name: z.string(), sha256: digest, bytes: z.int().min(0) })),
  /** `weights`: can be served; `init`: the first training makes the weights; `external`: an external server has them. */
  state: z.enum(['weights', 'init', 'external']),
  canary: canary.exactOptional(),
  /** For an adapter: its base, a model with full weights. */
  base: digest.nullable().default(null),
  /** The model that it was trained from. */
  from: digest.nullable(),
  dataset: digest.nullable(),
  /** Template of its training rows. */
  template: z.string().nullable(),
  settings: z.record(z.string(), z.unknown()).nullable(),
  steps: z.int().nullable(),
  lastLearningRate: z.number().nullable(),
  determinism,
});
export type ModelManifest = z.infer<typeof modelManifest>;

export const curvePoint = z.strictObject({ step: z.int().min(1), ...curveMeasures });
export type CurvePoint = z.infer<typeof curvePoint>;

/** `outputs/STEPKEY.json`: result and counts of a step. The first writer wins. */
export const output = z.strictObject({
  stepKey,
  verb: z.enum(['map', 'reduce', 'train', 'evaluate']),
  operation: z.string(),
  result,
  in: z.int().min(0),
  kept: z.int().min(0),
  /** Sources with no kept record, by drop reason. `in` is `kept` plus these. */
  dropped: z.record(z.string(), z.int().min(0)),
  /** Other records that a later operator of the chain dropped: their source kept another record, or lost its last one later. */
  parts: z.record(z.string(), z.int().min(0)).exactOptional(),
  /** For a map that asks models: the most frequent endings of replies that no parser could read (drop reasons `no-...`). Endings that
   *  differ only in digits count as one. */
  unread: z.array(z.strictObject({ ending: z.string(), count: z.int().min(1) })).exactOptional(),
  /** The dropped records: a dataset of `{ id, reason, evidence, value }` with the record's `id` and `value`. */
  droppedRecords: datasetRef.nullable(),
  /** For the evaluation of a model: a dataset of `{ item, answer }`, plus `measured` if the suite measures each answer. */
  answers: datasetRef.exactOptional(),
  /** For a source that reports places: the file and line of each record, by id. */
  origins: datasetRef.exactOptional(),
  /** For a training: a dataset with a record for each optimizer step, the measures of the last one, those of the one with the lowest
   *  validation loss, and the last steps whose loss jumped. They are no part of the model. */
  curve: z
    .strictObject({
      records: datasetRef,
      last: curvePoint,
      best: curvePoint.exactOptional(),
      spikes: z.array(z.int().min(1)).exactOptional(),
    })
    .exactOptional(),
  requests: z.int().min(0),
  tokens: z.int().min(0),
  /** Requests and tokens by digest of the model. */
  uses: z.record(z.string(), z.strictObject({ requests: z.int(), read: z.int(), written: z.int() })).exactOptional(),
  /** Attempts that operators made at records until one succeeded, the first included (`context.attempts`). */
  attempts: z.int().min(0).exactOptional(),
  seconds: z.number().min(0),
  /** Digests of all referenced inputs. */
  inputs: z.array(digest),
  params: z.unknown(),
  /** Operator, template, prompt and suite ids with their versions, and the digests of backspin's source files that define them. */
  versions: z.record(z.string(), z.int()),
  sources: z.record(z.string(), z.string()),
  determinism,
  made: z.iso.datetime(),
});
export type Output = z.infer<typeof output>;

/** A plan that `backspin gc` writes for you to read, and reads back to remove what it lists. */
export const gcPlan = z.strictObject({
  /** Id of the store. */
  store: z.string(),
  made: z.iso.datetime(),
  /** Open experiments. Artifacts that they made since their last record cannot be told from garbage, so while any is open, gc removes only
   *  scratch files of ended steps and processes. */
  open: z.array(z.string()),
  sweep: z.array(
    z.strictObject({
      /** A file or folder in the store. Referring artifacts come before the artifacts they refer to, so gc can stop at any point. */
      path: z.string(),
      bytes: z.int().min(0),
      why: z.string(),
    }),
  ),
  bytes: z.int().min(0),
  /** sha256 of all fields above. */
  digest,
});
export type GcPlan = z.infer<typeof gcPlan>;
