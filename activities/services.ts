/** What every activity stands on. Made once per worker process. */
import { resolve } from 'node:path';
import { Servers } from '../inference/servers.ts';
import { loadRegistry, type Registry } from '../operators/registry.ts';
import type { Bound } from '../schemas/config.ts';
import type { External } from '../schemas/external.ts';
import { openStore } from '../store/local.ts';
import { LOW_WATER, type Store } from '../store/store.ts';
import { machineOf, type Machine } from './machine.ts';

export { pythonOf } from '../devices/python.ts';

/** What a step needs to know of its experiment, sent with every call. */
export interface StepContext {
  readonly experiment: string;
  /** Under which its steps are noted in the store; without one they are not. */
  readonly configDigest?: string;
  readonly seed: number;
  readonly modules: Bound['modules'];
  readonly serving: Bound['serving'];
  readonly roles: Bound['roles'];
  readonly training: Bound['training'];
  /** The external models of its file. */
  readonly external: readonly External[];
}

export interface Services {
  readonly home: string;
  readonly store: Store;
  readonly servers: Servers;
  readonly machine: Machine;
  /** Digest of the sources that this process runs; empty where nobody has pinned them. */
  readonly build: string;
  /** Bytes; with less free on the store's disk no new step begins. */
  readonly lowWater: number;
  registry(modules: Bound['modules']): Promise<Registry>;
}

export async function openServices(home: string, { lowWater = LOW_WATER, build = '' } = {}): Promise<Services> {
  const registries = new Map<string, Promise<Registry>>();
  return {
    home,
    store: await openStore(resolve(home, 'store')),
    servers: new Servers(),
    machine: machineOf(home),
    lowWater,
    build,
    registry(modules) {
      const key = JSON.stringify(modules);
      const registry = registries.get(key) ?? loadRegistry(modules);
      registries.set(key, registry);
      registry.catch(() => registries.delete(key)); // a module that failed to load may be mended
      return registry;
    },
  };
}
