/** `.backspin/` of the working folder, or BACKSPIN_HOME: where everything of one installation lives. */
import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { alive } from '../devices/processes.ts';

/** What a running `up` says of itself in `up.json`. */
export interface Up {
  readonly pid: number;
  /** Start time of the process in clock ticks since boot: with the pid, its identity. */
  readonly start: string;
  readonly ready: boolean;
  /** Digest of the sources that its workers run. */
  readonly build: string;
  readonly address: string;
  readonly namespace: string;
  /** null: the server is not ours, and we do not know its UI. */
  readonly uiAddress: string | null;
  /** Device groups of each. */
  readonly pools: { readonly [pool: string]: number };
  /** UUIDs of the CUDA devices in them. */
  readonly devices: readonly string[];
}

export const homeFolder = (): string => resolve(process.env['BACKSPIN_HOME'] || '.backspin');
export const inHome = (...parts: string[]): string => join(homeFolder(), ...parts);
export const lifelinePath = (): string => inHome('lifeline');

/** The `up` that lives here; undefined when there is none, or its file outlived it. */
export function currentUp(): Up | undefined {
  try {
    const up = JSON.parse(readFileSync(inHome('up.json'), 'utf8')) as Up;
    return alive(up.pid, up.start) ? up : undefined;
  } catch {
    return undefined;
  }
}
