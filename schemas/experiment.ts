/** Schema of `experiments/NAME.json` in the store. The file is the truth about closed experiments; Temporal is the truth about open ones.
 */
import { z } from 'zod';
import { datasetRef, digest, result } from './store.ts';

export const experimentState = z.enum(['running', 'paused', 'attention', 'completed', 'failed', 'cancelled']);

export const stepState = z.enum(['running', 'attention', 'completed', 'failed', 'cancelled']);
/** A step as the root workflow knows it. Its counts are in the store under its key. */
export const step = z.strictObject({
  path: z.string(),
  arm: z.string().nullable(),
  round: z.int().nullable(),
  name: z.string(),
  kind: z.enum(['map', 'reduce', 'train', 'evaluate']),
  operation: z.string(),
  state: stepState,
  stepKey: digest.nullable(),
  /** The store had the result before this experiment needed it. */
  cached: z.boolean(),
  result: result.nullable(),
  /** Another experiment that computes the step, in words. */
  computedBy: z.string().exactOptional(),
  /** Fingerprint of the call: equal calls are one step. */
  fingerprint: z.string().exactOptional(),
});
export type Step = z.infer<typeof step>;

/** `experiments/NAME.steps/HASH.json` (HASH is the hash of the path): the latest state of a step under this configuration. */
export const stepNote = z.strictObject({ experiment: z.string(), configDigest: digest, step });
export type StepNote = z.infer<typeof stepNote>;

/** Why an experiment waits, and how to continue. All reasons except `space` need a command. */
export const attention = z.strictObject({
  path: z.string(),
  kind: z.enum(['gate', 'step', 'budget', 'space']),
  reason: z.string(),
  remedy: z.string(),
  /** The records that a gate holds. */
  records: datasetRef.exactOptional(),
});
export type Attention = z.infer<typeof attention>;

/** A finished step in the ledger. */
export const ledgerEntry = z.strictObject({ result, stepKey: digest, cached: z.boolean() });
export type LedgerEntry = z.infer<typeof ledgerEntry>;

/** Version of the record: the workflow run that wrote it, and how many times it had. */
export const recordVersion = z.strictObject({ run: z.string(), count: z.int() });
export type RecordVersion = z.infer<typeof recordVersion>;

/** An addition to a record, so that the size of a write does not grow with the experiment. `steps` are new steps and those that differ from
 *  the store's. */
export interface RecordNews extends ExperimentRecord {
  readonly written: RecordVersion;
  /** Version that the store must have; null: any. */
  readonly since: RecordVersion | null;
  /** Paths of all steps; the store removes others. */
  readonly only?: readonly string[];
}

export const experimentRecord = z.strictObject({
  name: z.string(),
  recipe: z.string(),
  workflowId: z.string(),
  runId: z.string().nullable(),
  /** The bound configuration as the workflow's input, and the digest of the experiment file. */
  config: z.unknown(),
  configDigest: digest,
  parent: z.strictObject({ name: z.string(), round: z.int() }).nullable(),
  state: experimentState,
  round: z.int().nullable(),
  steps: z.array(step),
  attention: z.array(attention),
  /** Sentences for the user that need no action. */
  notices: z.array(z.string()),
  /** Only in older records; `steps` now hold everything. */
  ledger: z.record(z.string(), ledgerEntry).exactOptional(),
  decisions: z.record(z.string(), z.unknown()),
  result: result.nullable(),
  failure: z.string().nullable(),
  updated: z.iso.datetime(),
  /** Version of the record; missing if no workflow has written it yet. */
  written: recordVersion.exactOptional(),
});
export type ExperimentRecord = z.infer<typeof experimentRecord>;

/** Steps by path in the order of their start; a later step replaces an earlier one with the same path. */
export const latest = (before: readonly Step[], news: readonly Step[]): Step[] => [
  ...new Map([...before, ...news].map((step) => [step.path, step])).values(),
];

export const isClosed = ({ state }: Pick<ExperimentRecord, 'state'>): boolean =>
  state === 'completed' || state === 'failed' || state === 'cancelled';
