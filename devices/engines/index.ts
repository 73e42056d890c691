/** Maps the engines of an experiment file to their implementations. */
import type { Serving } from '../../schemas/serving.ts';
import { embedded, embeddedIdentity, type EmbeddedOptions } from './embedded.ts';
import type { Engine, ServedModels } from './engine.ts';
import { vllm, vllmIdentity } from './vllm.ts';

/** Part of the key of every step that asks a model, because another engine gives other replies. */
export const engineIdentity = (serving: Serving): string => (serving.engine === 'vllm' ? vllmIdentity(serving) : embeddedIdentity(serving));

/** Whether equal requests get equal replies whatever other requests run at the same time. */
export const repeats = ({ engine }: Serving): boolean => engine === 'embedded';

/** How the engine takes `choice` and `schema` of sampling. The embedded one decodes choices only. */
export const structuredBy = ({ engine }: Serving): 'choice' | 'structured_outputs' => (engine === 'vllm' ? 'structured_outputs' : 'choice');

/** `baseName`: served name of the base, if the models are its adapters. */
export const engineOf = (
  serving: Serving,
  models: ServedModels,
  trainer: Pick<EmbeddedOptions, 'python' | 'trainerPath'>,
  baseName?: string,
): Engine => (serving.engine === 'vllm' ? vllm(serving, models, baseName) : embedded({ ...serving, ...trainer }, models));
