/** Locates the home of an installation (`.backspin/` in the working folder, or BACKSPIN_HOME) and reads its `up.json`. */
import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { alive } from '../devices/processes.ts';

/** Content of `up.json`, which a running `up` writes. */
export interface Up {
  readonly pid: number;
  /** Start time of the process in clock ticks since boot. Pid and start time identify it. */
  readonly start: string;
  readonly ready: boolean;
  /** Digest of the sources that its workers run. */
  readonly build: string;
  readonly address: string;
  readonly namespace: string;
  /** null: the server is external and its UI is unknown. */
  readonly uiAddress: string | null;
  /** Number of device groups of each pool. */
  readonly pools: { readonly [pool: string]: number };
  /** UUIDs of all CUDA devices in the pools. */
  readonly devices: readonly string[];
}

export const homeFolder = (): string => resolve(process.env['BACKSPIN_HOME'] || '.backspin');
export const inHome = (...parts: string[]): string => join(homeFolder(), ...parts);
export const lifelinePath = (): string => inHome('lifeline');

/** The list of experiments in the Temporal UI. Without the query, their stages would bury them. */
export const experimentsInUi = (ui: string, namespace: string): string =>
  `${ui}/namespaces/${namespace}/workflows?query=${encodeURIComponent('BackspinExperiment IS NOT NULL')}`;

/** The running `up` of this home; undefined if there is none or its process has died. */
export function currentUp(): Up | undefined {
  try {
    const up = JSON.parse(readFileSync(inHome('up.json'), 'utf8')) as Up;
    return alive(up.pid, up.start) ? up : undefined;
  } catch {
    return undefined;
  }
}
