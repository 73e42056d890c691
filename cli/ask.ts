/** Sends one prompt to a model by a throw-away experiment, over a lease like any other step. */
import { questionTo } from '../experiments/trial.ts';
import type { PlannedCalls } from '../plan/planner.ts';
import type { Prompt, Sampling } from '../recipe/define.ts';
import type { DatasetRef, ModelRef } from '../schemas/call.ts';
import type { BoundConfig } from '../schemas/config.ts';
import { BackspinError } from '../schemas/errors.ts';
import type { Store } from '../store/store.ts';
import { runTrial } from './trial.ts';

export interface Asked {
  readonly role: string;
  readonly model: ModelRef;
  readonly prompt: Prompt;
  readonly sampling: Sampling;
}
export interface Answer {
  readonly reply: string;
  readonly finish: string;
  readonly tokens: number;
  readonly seconds: number;
}

/** Throws `ConfigError` if the model gives no reply. */
export async function answerTo(asked: Asked, bound: BoundConfig, planned: PlannedCalls, store: Store): Promise<Answer> {
  const tried = await runTrial(store, await questionTo(bound, planned, asked, store));
  const { result, dropped, droppedRecords, tokens, seconds } = tried.get('ask')!.output;
  for await (const { value } of store.read(result as DatasetRef))
    return { ...(value as Pick<Answer, 'reply' | 'finish'>), tokens, seconds };
  const [reason] = Object.keys(dropped);
  for await (const { value } of store.read(droppedRecords!))
    throw new BackspinError('ConfigError', `The model gave no reply (${reason}): ${(value as { evidence: string }).evidence}`);
  throw new BackspinError('ConfigError', `The model gave no reply (${reason}).`);
}
