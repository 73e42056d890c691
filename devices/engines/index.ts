/** The engines, by what an experiment file says. */
import type { Serving } from '../../schemas/config.ts';
import { embedded } from './embedded.ts';
import type { Engine } from './engine.ts';

const engines = { embedded } as const;

/** Part of the key of every step that asks a model: another engine gives other replies. */
export const engineIdentity = ({ engine }: Serving): string => ({ embedded: 'embedded 1 float32' })[engine];

export const engineOf = ({ engine, slots, threads }: Serving, trainer: { readonly python: string; readonly trainerPath: string }): Engine =>
  engines[engine]({ slots, threads, ...trainer });
