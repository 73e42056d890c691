/** Sweeps: experiments that differ in a few settings of one file. */
import { z } from 'zod';

const setting = z.record(z.string(), z.json());

/** `sweep` in an experiment file. Settings are named by their paths, such as parameters.keep.threshold. */
export const sweepSpec = z.strictObject({
  grid: z
    .record(z.string(), z.array(z.json()).min(1))
    .exactOptional()
    .describe('Settings by path, each with the values to try: an experiment for every combination.'),
  pairs: z.array(setting).min(1).exactOptional().describe('Settings by path that go together, a group for each experiment.'),
  seeds: z.int().min(1).max(100).exactOptional().describe('Experiments for each combination, with seeds that count up from `seed`.'),
});
export type SweepSpec = z.infer<typeof sweepSpec>;

/** `sweeps/NAME.json` in the store. */
export const sweepRecord = z.strictObject({
  name: z.string(),
  workflowId: z.string(),
  /** `values`: what the sweep sets, by path, without the seed. */
  members: z.array(z.strictObject({ name: z.string(), values: setting, seed: z.int() })),
});
export type SweepRecord = z.infer<typeof sweepRecord>;

/** Input of the workflow of a sweep. Plain JSON. */
export interface SweepInput {
  readonly store: string;
  readonly name: string;
  readonly members: readonly { readonly name: string; readonly workflowId: string }[];
  /** Start options of the experiments that have not been completed before. */
  readonly starts: readonly object[];
}
