/** Reads the configuration of an experiment that an earlier version launched. */
import type { BoundConfig } from '../schemas/config.ts';
import { rebind } from './config.ts';

/** The configuration as this version would have bound it: settings that the earlier one did not know have their defaults. Itself, if it can
 *  be bound no more. */
export async function asBoundToday(config: BoundConfig): Promise<BoundConfig> {
  try {
    return { ...(await rebind(config, [], config.name)).bound, modules: config.modules };
  } catch {
    return config;
  }
}
