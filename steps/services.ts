/** Opens the store, servers and registries that activities share, once per worker process. */
import { ExternalServers } from '../inference/servers.ts';
import { loadRegistry, type Registry } from './registry.ts';
import { noMetrics, type Metrics } from '../schemas/metrics.ts';
import type { Traces } from '../schemas/traces.ts';
import type { BoundConfig } from '../schemas/config.ts';
import { openStoreOf } from '../store/open.ts';
import { LOW_WATER, type Store } from '../store/store.ts';
import { checkGrants, ofContext, ofModules, type Grant, type Granting } from './grants.ts';
import { machineOf, type Machine } from './machine.ts';

export interface Services {
  readonly home: string;
  readonly store: Store;
  readonly servers: ExternalServers;
  readonly metrics: Metrics;
  /** Undefined: nobody wants spans. */
  readonly traces: Traces | undefined;
  readonly machine: Machine;
  /** Digest of the sources that this process runs; empty if they are not pinned. */
  readonly build: string;
  /** Bytes; with less free on the store's disk no new step begins. */
  readonly lowWater: number;
  /** Accept only modules, servings and external servers that a launch from this home has named. */
  readonly launchedOnly: boolean;
  registry(modules: BoundConfig['modules']): Promise<Registry>;
  /** Throws `ConfigError` for a serving or an external server that no launch has named. */
  check(context: Granting): Promise<void>;
}

/** Cancellation signal and heartbeat of an activity. */
export interface ActivityHandle {
  readonly signal: AbortSignal;
  /** Details for the Temporal UI, under 1 KB. A function is called at every heartbeat. */
  heartbeat(details: object | (() => object)): void;
}

/** `launchedOnly` is for workers, because every user of the machine can start workflows on the Temporal server. */
export async function openServices(
  home: string,
  {
    lowWater = LOW_WATER,
    build = '',
    launchedOnly = false,
    metrics = noMetrics,
    traces,
  }: Partial<Pick<Services, 'lowWater' | 'build' | 'launchedOnly' | 'metrics' | 'traces'>> = {},
): Promise<Services> {
  const store = await openStoreOf(home);
  const checked = async (grants: readonly Grant[]) => void (launchedOnly && (await checkGrants(store, grants)));
  const registries = new Map<string, Promise<Registry>>();
  return {
    home,
    store,
    servers: new ExternalServers(metrics),
    metrics,
    traces,
    machine: machineOf(home, store),
    lowWater,
    launchedOnly,
    build,
    registry(modules) {
      const key = JSON.stringify(modules);
      const registry = registries.get(key) ?? checked(ofModules(modules)).then(() => loadRegistry(modules, store));
      registries.set(key, registry);
      registry.catch(() => registries.delete(key)); // retry a module that failed to load: the user may fix it
      return registry;
    },
    check: (context) => checked(ofContext(context)),
  };
}
