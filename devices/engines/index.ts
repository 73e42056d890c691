/** The engines, by what an experiment file says. */
import type { Serving } from '../../schemas/serving.ts';
import { embedded, type EmbeddedOptions } from './embedded.ts';
import type { Engine, ServedModels } from './engine.ts';
import { vllm, vllmIdentity } from './vllm.ts';

/** Part of the key of every step that asks a model: another engine gives other replies. */
export const engineIdentity = (serving: Serving): string => (serving.engine === 'vllm' ? vllmIdentity(serving) : 'embedded 1 float32');

/** Whether the same requests get the same replies whatever else is asked at the same time. */
export const repeats = ({ engine }: Serving): boolean => engine === 'embedded';

export const engineOf = (serving: Serving, models: ServedModels, trainer: Pick<EmbeddedOptions, 'python' | 'trainerPath'>): Engine =>
  serving.engine === 'vllm' ? vllm(serving, models) : embedded({ ...serving, ...trainer }, models);
