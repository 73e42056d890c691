/** `backspin worker`: runs only the named workers on this host, for a Temporal server and a store that hosts share. */
import { setTimeout as delay } from 'node:timers/promises';
import { isBusy } from '../devices/inflight.ts';
import { BackspinError } from '../schemas/errors.ts';
import { homeFolder } from '../host/home.ts';
import type { Listen } from '../host/ports.ts';
import { readPools, readSlurmPools } from '../host/pools.ts';
import { requireShared } from '../host/shared.ts';
import { runSession } from './session.ts';

export interface Options {
  readonly orchestrator?: boolean;
  readonly data?: boolean;
  readonly pool?: readonly string[];
  /** Milliseconds. */
  readonly idleExit?: number;
  readonly drainBefore?: number;
  /** Gigabytes. */
  readonly lowWater?: number;
  readonly metrics?: Listen;
}

/** Milliseconds in which workers stop after a signal, by default, and at least. */
const DRAIN = 120_000;
/** Milliseconds of the drain that remain for the end of the processes. */
const RESERVE = 5_000;

export async function run({
  orchestrator = false,
  data = false,
  pool = [],
  idleExit,
  drainBefore = DRAIN,
  lowWater,
  metrics,
}: Options): Promise<void> {
  if (!orchestrator && !data && pool.length === 0)
    throw new BackspinError('ConfigError', 'Say what this host shall do: --orchestrator, --data, or --pool such as gpu=auto or cpu=2.');
  if (orchestrator && idleExit !== undefined)
    throw new BackspinError(
      'ConfigError',
      'An orchestrator must stay, because experiments wait in it: leave --idle-exit out, or --orchestrator.',
    );
  await requireShared('several hosts need a common one');
  await runSession({
    orchestrator,
    data,
    pools: pool.length === 0 ? {} : readPools(pool),
    ...(orchestrator && { slurm: readSlurmPools() }),
    drain: Math.max(drainBefore - RESERVE, RESERVE),
    ...(lowWater !== undefined && { lowWater }),
    ...(metrics && { metrics }),
    ...(idleExit !== undefined && { over: (signal) => idle(idleExit, signal) }),
  });
}

/** Resolves once no worker of this host has had an activity for so long (milliseconds). */
async function idle(milliseconds: number, signal: AbortSignal): Promise<void> {
  for (let busy = performance.now(); !signal.aborted && performance.now() - busy < milliseconds;) {
    if (isBusy(homeFolder())) busy = performance.now();
    await delay(Math.min(1_000, milliseconds), undefined, { signal }).catch(() => {});
  }
  if (!signal.aborted) console.log(`Nothing to do for ${milliseconds / 1000} s: this host ends.`);
}
