/** `slurm:` of a pool in `pools.yaml`: worker jobs that the controller submits while the pool has work. */
import { z } from 'zod';
import { duration } from '../duration.ts';

const word = z.union([z.string(), z.number()]).transform(String).pipe(z.string().regex(/^\S+$/, 'one word is needed'));

/** Durations are milliseconds. */
export const slurmSettings = z.strictObject({
  /** As in `sbatch --partition`, `--gres`, `--account` and `--time`; absent: the cluster's defaults. */
  partition: word.optional(),
  gres: word.optional(),
  account: word.optional(),
  time: word.optional(),
  /** More options of `sbatch`, such as `--mem=120G`. */
  extra: z.array(z.string().regex(/^-/, 'an option of sbatch is needed, such as --mem=120G')).default([]),
  /** Jobs that run or wait at once; successors of jobs whose time is nearly over do not count. */
  jobs: z.int().min(1).default(4),
  /** The device groups of a job, as in `--pool gpu=auto`. */
  groups: word.default('auto'),
  /** A job ends after so long without work. */
  idleExit: duration.default(300_000),
  /** Time between SIGTERM and the end of a job, in which a training writes its checkpoint. */
  drain: duration.default(120_000),
  /** So long before the end of a busy job its successor is submitted. */
  ahead: duration.default(300_000),
});
export type SlurmSettings = z.infer<typeof slurmSettings>;
