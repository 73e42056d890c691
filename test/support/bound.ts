/** The configuration of a launched experiment, without data and models. */
import type { BoundConfig } from '../../schemas/config.ts';

export const bound: BoundConfig = {
  name: 'toy',
  recipe: 'humpback',
  seed: 0,
  modules: [],
  models: {},
  data: {},
  serving: { pool: 'cpu', engine: 'embedded', slots: 64, threads: null, maxModelLength: null, replicas: 1 },
  roles: {},
  training: { pool: 'cpu', threads: null },
  evaluation: {},
  parameters: { rounds: 2, keep: { threshold: 5 } },
};
