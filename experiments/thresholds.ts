/** Finds the limits that later steps set to the numbers of a step's records. */
import { z } from 'zod';
import { isRef } from '../schemas/call.ts';
import type { ExperimentRecord } from '../schemas/experiment.ts';
import type { Output } from '../schemas/store.ts';
import type { Store } from '../store/store.ts';
import type { Database } from './tables/duckdb.ts';
import { name as quoted } from './tables/duckdb.ts';
import { allOf, openDatabase } from './tables/steps.ts';

export interface Threshold {
  readonly field: string;
  readonly value: number;
  /** Which records the step keeps: those with the value or more, or those with the value or less. */
  readonly keeps: 'atLeast' | 'atMost';
  /** The step that keeps them. */
  readonly path: string;
}

/** What `std.select` is told. */
const selection = z.object({
  where: z.record(z.string(), z.unknown()).default({}),
  best: z.object({ by: z.string(), order: z.enum(['highest', 'lowest']) }).optional(),
});
const limits = z.object({ atLeast: z.number().optional(), atMost: z.number().optional() });

/** Of the records of this dataset. Of a step that keeps the best ones, the threshold is the number of the worst of them. */
export async function thresholdsOf(
  store: Store,
  database: Database,
  steps: readonly { readonly step: Pick<ExperimentRecord['steps'][number], 'path'>; readonly output: Output }[],
  digest: string,
): Promise<Threshold[]> {
  const found: Threshold[] = [];
  for (const { step, output } of steps) {
    const { success, data } = selection.safeParse(output.params);
    if (output.operation !== 'std.select' || !output.inputs.includes(digest) || !success) continue;
    for (const [field, test] of Object.entries(data.where)) {
      const { atLeast, atMost } = limits.safeParse(test).data ?? {};
      if (atLeast !== undefined) found.push({ field, value: atLeast, keeps: 'atLeast', path: step.path });
      if (atMost !== undefined) found.push({ field, value: atMost, keeps: 'atMost', path: step.path });
    }
    const { result } = output;
    if (!data.best || !isRef(result) || result.kind !== 'dataset' || result.rows === 0 || !(await store.has(result))) continue;
    const { by, order } = data.best;
    const [worst] = await database.rows<{ value: number | null }>(
      `select ${order === 'highest' ? 'min' : 'max'}(${quoted(by)}) as value from (${await allOf(store, { ref: result, layout: 'records' })})`,
    );
    if (typeof worst?.value === 'number')
      found.push({ field: by, value: worst.value, keeps: order === 'highest' ? 'atLeast' : 'atMost', path: step.path });
  }
  return [...new Map(found.toReversed().map((one) => [JSON.stringify([one.field, one.value, one.keeps]), one])).values()].toReversed();
}

/** Of a field of the records of this dataset, by all steps of an experiment that have ended. */
export async function thresholdsIn(store: Store, { steps }: ExperimentRecord, digest: string, field: string): Promise<Threshold[]> {
  const ended = [];
  for (const step of steps) {
    const output = step.stepKey === null ? undefined : await store.output(step.stepKey);
    if (output) ended.push({ step, output });
  }
  const database = await openDatabase(store);
  try {
    return (await thresholdsOf(store, database, ended, digest)).filter((one) => one.field === field);
  } finally {
    database.close();
  }
}
