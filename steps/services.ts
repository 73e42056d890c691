/** What every activity stands on. Made once per worker process. */
import { resolve } from 'node:path';
import { Servers } from '../inference/servers.ts';
import { loadRegistry, type Registry } from './registry.ts';
import type { BoundConfig } from '../schemas/config.ts';
import { openStore } from '../store/local.ts';
import { LOW_WATER, type Store } from '../store/store.ts';
import { checkGrants, ofContext, ofModules, type Grant, type Granting } from './grants.ts';
import { machineOf, type Machine } from './machine.ts';

export { pythonOf } from '../devices/python.ts';

export interface Services {
  readonly home: string;
  readonly store: Store;
  readonly servers: Servers;
  readonly machine: Machine;
  /** Digest of the sources that this process runs; empty where nobody has pinned them. */
  readonly build: string;
  /** Bytes; with less free on the store's disk no new step begins. */
  readonly lowWater: number;
  /** Whether it does only what a launch from its home has named. */
  readonly launchedOnly: boolean;
  registry(modules: BoundConfig['modules']): Promise<Registry>;
  /** Throws `ConfigError` for a serving or an external server that no launch has named. */
  check(context: Granting): Promise<void>;
}

/** How a piece of work hears that it is to end, and says how it comes on. */
export interface ActivityHandle {
  readonly signal: AbortSignal;
  /** Shown in the Temporal UI; under 1 KB. A function is asked at every beat. */
  heartbeat(details: object | (() => object)): void;
}

/** `launchedOnly`: for workers, which do what anybody on the machine may ask of the Temporal server. */
export async function openServices(home: string, { lowWater = LOW_WATER, build = '', launchedOnly = false } = {}): Promise<Services> {
  const store = await openStore(resolve(home, 'store'));
  const checked = async (grants: readonly Grant[]) => void (launchedOnly && (await checkGrants(store, grants)));
  const registries = new Map<string, Promise<Registry>>();
  return {
    home,
    store,
    servers: new Servers(),
    machine: machineOf(home),
    lowWater,
    launchedOnly,
    build,
    registry(modules) {
      const key = JSON.stringify(modules);
      const registry = registries.get(key) ?? checked(ofModules(modules)).then(() => loadRegistry(modules));
      registries.set(key, registry);
      registry.catch(() => registries.delete(key)); // a module that failed to load may be mended
      return registry;
    },
    check: (context) => checked(ofContext(context)),
  };
}
