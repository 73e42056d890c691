/** The trainer's protocol: the spec it is given, the events it appends, the codes it ends with. */
import { z } from 'zod';
import { architecture } from './config.ts';

/** The spec of `backspin_trainer train`. Lengths in tokens, rates per step, `warmup` a share of the steps. */
export const trainSpec = z.strictObject({
  version: z.literal(1),
  objective: z.enum(['sft', 'lm']),
  /** Exactly one of `from` (a model folder) and `init` is set. */
  from: z.string().nullable(),
  init: z.strictObject({ architecture, tokenizer: z.string(), seed: z.int() }).nullable(),
  data: z.string(),
  /** Folder of events, checkpoints and the model that comes out. */
  run: z.string(),
  seed: z.int(),
  steps: z.int().min(1),
  batch: z.int().min(1),
  maxTokens: z.int().min(2),
  learningRate: z.strictObject({ from: z.number(), to: z.number() }),
  schedule: z.enum(['linear', 'cosine']),
  warmup: z.number().min(0).max(1),
  weightDecay: z.number().min(0),
  betas: z.tuple([z.number(), z.number()]),
  clip: z.number().nullable(),
  dropout: z.number().min(0).max(1),
  optimizer: z.enum(['adamw', 'muon']),
  checkpointEvery: z.int().min(1),
  keepCheckpoints: z.int().min(1),
  threads: z.int().min(1),
});
export type TrainSpec = z.infer<typeof trainSpec>;

const of = <const Event extends string, Shape extends z.core.$ZodShape>(event: Event, shape: Shape) =>
  z.object({ v: z.literal(1), event: z.literal(event), ...shape });
const step = z.int().min(0);

/** A line of `events.jsonl`. A resumed training says the steps since its checkpoint a second time. */
const trainEvent = z.discriminatedUnion('event', [
  of('start', { pid: z.int(), resumedFrom: step.nullable(), steps: step }),
  of('step', { step, loss: z.number(), learningRate: z.number(), tokens: z.int(), seconds: z.number() }),
  of('checkpoint', { step }),
  of('stopped', { step }),
  of('error', { message: z.string() }),
  of('done', { step, loss: z.number().nullable() }),
]);
export type TrainEvent = z.infer<typeof trainEvent>;

/** Undefined for a line that a kill has torn, and for what a newer trainer says. */
export function eventOf(line: string): TrainEvent | undefined {
  try {
    return trainEvent.parse(JSON.parse(line));
  } catch {
    return undefined;
  }
}
