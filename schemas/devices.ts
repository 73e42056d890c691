/** What a worker leaves on disk for the next one: slot files, and the files that a model server is found by. */
import { z } from 'zod';

/** What a host gives to a pool; sent to its gpu worker. */
export interface Pool {
  /** CUDA devices of each group; none for one that computes on the CPU. */
  readonly groups: readonly (readonly string[])[];
  /** Milliseconds that a model server stays ready for another lease. */
  readonly keepWarm: number;
  /** Milliseconds after which a lease is given back if another experiment waits for one. */
  readonly timeSlice: number;
}

/** Heartbeat details of `serve`, `train`, `embed` and `score`. One that no worker has taken yet (pending, scheduled) has none: all
 *  device groups of its pool are held, by the activities that run on the pool's queue. */
export interface LeaseState {
  /** `waiting`: what was left on the device group is being stopped. */
  readonly state: 'waiting' | 'starting' | 'serving' | 'training';
  /** Milliseconds since 1970 at which this state began. */
  readonly since: number;
  /** The device group that it holds. */
  readonly slot?: string;
  /** Processes that are not ours on its devices. */
  readonly others?: readonly string[] | undefined;
  /** Served names. */
  readonly models?: readonly string[];
}

/** `pools.json`: what each pool of this home computes on, as it last was: `cpu`, or `cuda` with compute capabilities. */
export const poolDevices = z.record(z.string(), z.string());

/** `devices/SLOT.json`: the child on a device group. */
export const slotRecord = z.strictObject({
  slot: z.string(),
  /** UUIDs of the group's CUDA devices. */
  devices: z.array(z.string()),
  kind: z.enum(['serve', 'train']),
  marker: z.string(),
  /** Null between the moment before the child is started and the moment after. */
  pgid: z.int().nullable(),
  pgStart: z.string().nullable(),
  owner: z.int(),
  ownerStart: z.string(),
  /** What the child works for; the same for every attempt. */
  key: z.string(),
  attempt: z.int(),
  folder: z.string(),
  /** Of a server: tasks that ask for the same can use it, whatever it serves now. */
  warm: z.string().nullable(),
});
export type SlotRecord = z.infer<typeof slotRecord>;

/** The spec of `backspin_trainer serve`. Unknown keys are refused there. */
export interface ServeSpec {
  readonly version: 1;
  /** Served name -> folder, and for an adapter that of its base. */
  readonly models: { readonly [served: string]: { readonly folder: string; readonly base: string | null } };
  readonly host: string;
  /** 0: a free one. */
  readonly port: number;
  /** File that is written once it answers. */
  readonly ready: string;
  readonly slots: number;
  readonly threads: number;
  /** Gets a line for each request. */
  readonly accessLog: string;
}

/** The ready file. */
export const ready = z.object({ port: z.int(), pid: z.int() });
