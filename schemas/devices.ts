/** Files that a worker leaves on disk for the next one: slot records, and the spec and ready file of a model server. */
import { z } from 'zod';

/** The devices and times of a pool, which the host sends to its gpu worker. */
export interface Pool {
  /** CUDA devices of each device group; empty for a group on the CPU. */
  readonly groups: readonly (readonly string[])[];
  /** Milliseconds that an idle model server is kept warm for the next lease. */
  readonly keepWarm: number;
  /** Milliseconds after which a lease ends if another experiment waits for one. */
  readonly timeSlice: number;
}

/** Heartbeat details of the activities `serve`, `train`, `embed`, `score` and `tag`. A scheduled activity has none: running activities hold all
 *  device groups of its pool. */
export interface LeaseState {
  /** `waiting`: the worker stops the previous subprocess on the device group. */
  readonly state: 'waiting' | 'starting' | 'serving' | 'training';
  /** When this state began, in milliseconds since 1970. */
  readonly since: number;
  /** The device group. */
  readonly slot?: string;
  /** Processes on the device group that backspin did not start. */
  readonly others?: readonly string[] | undefined;
  /** Served names. */
  readonly models?: readonly string[];
}

/** `pools.json`: the last known device of each pool of this home: `cpu`, or `cuda` with compute capabilities. */
export const poolDevices = z.record(z.string(), z.string());

/** `pool-memory.json`: the last known bytes of memory of each device of each group of each pool; a group on the CPU has none. */
export const poolMemory = z.record(z.string(), z.array(z.array(z.number())));

/** `devices/SLOT.json`: the subprocess on a device group. */
export const slotRecord = z.strictObject({
  slot: z.string(),
  /** UUIDs of the group's CUDA devices. */
  devices: z.array(z.string()),
  kind: z.enum(['serve', 'train']),
  marker: z.string(),
  /** Null until the subprocess has started. */
  pgid: z.int().nullable(),
  pgStart: z.string().nullable(),
  owner: z.int(),
  ownerStart: z.string(),
  /** The step that the subprocess works for; the same for every attempt. */
  key: z.string(),
  attempt: z.int(),
  folder: z.string(),
  /** For a server: a lease with the same value can reuse it, with any models. */
  warm: z.string().nullable(),
});
export type SlotRecord = z.infer<typeof slotRecord>;

/** The spec of `backspin_trainer serve`, which refuses unknown keys. */
export interface ServeSpec {
  readonly version: 1;
  /** Served name -> folder of the model, and of the base of an adapter. */
  readonly models: { readonly [served: string]: { readonly folder: string; readonly base: string | null } };
  readonly host: string;
  /** 0: a free port. */
  readonly port: number;
  /** File that the server writes once it answers. */
  readonly ready: string;
  readonly slots: number;
  readonly threads: number;
  /** Tokens of prompt and answer; null: the model's. */
  readonly maxModelLength: number | null;
  /** File that gets a JSON line for each request. */
  readonly accessLog: string;
}

/** The ready file. */
export const ready = z.object({ port: z.int(), pid: z.int() });
