/** `experiments/NAME.json` in the store: the truth about closed experiments; Temporal is the truth about open ones. */
import { z } from 'zod';
import { digest, result } from './store.ts';

export const experimentState = z.enum(['running', 'paused', 'attention', 'completed', 'failed', 'cancelled']);

export const stepState = z.enum(['running', 'attention', 'completed', 'failed', 'cancelled']);
/** A step as the root knows it; its counts are in the store under its key. */
export const step = z.strictObject({
  path: z.string(),
  arm: z.string().nullable(),
  round: z.int().nullable(),
  name: z.string(),
  kind: z.enum(['map', 'reduce', 'train', 'evaluate']),
  operation: z.string(),
  state: stepState,
  stepKey: digest.nullable(),
  /** The result was there before this experiment asked. */
  cached: z.boolean(),
  result: result.nullable(),
  /** Who else computes it meanwhile, in words. */
  computedBy: z.string().exactOptional(),
  /** Fingerprint of its call: equal ones are one step. */
  fingerprint: z.string().exactOptional(),
});
export type Step = z.infer<typeof step>;

/** `experiments/NAME.steps/HASH.json`, the hash being that of the path: a step that began or ended, under this configuration. */
export const stepNote = z.strictObject({ experiment: z.string(), configDigest: digest, step });
export type StepNote = z.infer<typeof stepNote>;

/** Why an experiment waits, and the way on. All but `space` wait for a word. */
export const attention = z.strictObject({
  path: z.string(),
  kind: z.enum(['gate', 'step', 'budget', 'space']),
  reason: z.string(),
  remedy: z.string(),
});
export type Attention = z.infer<typeof attention>;

/** What the ledger carries of a finished step. */
export const ledgerEntry = z.strictObject({ result, stepKey: digest, cached: z.boolean() });
export type LedgerEntry = z.infer<typeof ledgerEntry>;

/** A run of the workflow has written the record so many times. */
export const recordVersion = z.strictObject({ run: z.string(), count: z.int() });
export type RecordVersion = z.infer<typeof recordVersion>;

/** What a workflow adds to its record, so that no writing of it grows with the experiment: `steps` are those that are new or other than
 *  the store has them. */
export interface RecordNews extends ExperimentRecord {
  readonly written: RecordVersion;
  /** The writing that the store must have; null: it may have anything. */
  readonly since: RecordVersion | null;
  /** Paths of all steps, where no other is to stay. */
  readonly only?: readonly string[];
}

export const experimentRecord = z.strictObject({
  name: z.string(),
  recipe: z.string(),
  workflowId: z.string(),
  runId: z.string().nullable(),
  /** The bound configuration, as the workflow got it, and the digest of what a person wrote. */
  config: z.unknown(),
  configDigest: digest,
  parent: z.strictObject({ name: z.string(), round: z.int() }).nullable(),
  state: experimentState,
  round: z.int().nullable(),
  steps: z.array(step),
  attention: z.array(attention),
  /** What a person should know and nothing waits for, as sentences. */
  notices: z.array(z.string()),
  /** Of older records; by now `steps` hold all of it. */
  ledger: z.record(z.string(), ledgerEntry).exactOptional(),
  decisions: z.record(z.string(), z.unknown()),
  result: result.nullable(),
  failure: z.string().nullable(),
  updated: z.iso.datetime(),
  /** By whom; missing in one that no workflow has written yet. */
  written: recordVersion.exactOptional(),
});
export type ExperimentRecord = z.infer<typeof experimentRecord>;

/** Steps by their paths, in the order in which they were begun; of two that have one path the later stands. */
export const latest = (before: readonly Step[], news: readonly Step[]): Step[] => [
  ...new Map([...before, ...news].map((step) => [step.path, step])).values(),
];

export const isClosed = ({ state }: Pick<ExperimentRecord, 'state'>): boolean =>
  state === 'completed' || state === 'failed' || state === 'cancelled';
