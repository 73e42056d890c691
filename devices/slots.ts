/** The device groups of one pool on this host: a queue of tasks that wait for a group, a timer for each warm server, and a reaper for
 *  subprocesses of dead workers. */
import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { SlotRecord } from '../schemas/devices.ts';
import { report } from './logs.ts';
import { awaitMemoryReleased } from './memory.ts';
import { stopGroup } from './processes.ts';
import { canReuse, damagedIn, isOurs, ownerLives, recordOf, recordsIn, removeRecord } from './slot-files.ts';
import { Slot, type Task } from './slot.ts';

export interface SlotsOptions {
  /** Holds the folder `devices`. Must be on a disk of this host. */
  readonly home: string;
  readonly pool: string;
  /** UUIDs of the CUDA devices of each group; none for a group that computes on the CPU. */
  readonly groups: readonly (readonly string[])[];
  /** Milliseconds after which the reaper stops the subprocess of a dead worker, unless a task has adopted it. Default: 30,000. */
  readonly reapAfter?: number;
  /** Milliseconds that a warm server waits for another task. Default: 60,000. */
  readonly keepWarmFor?: number;
}

/** One object per pool and host. */
export class Slots {
  readonly groups: number;
  readonly #folder: string;
  readonly #free: Slot[];
  readonly #waiting = new Set<(slot: Slot) => void>();
  readonly #keepWarmFor: number;
  /** Timers that stop the warm servers on free groups. */
  readonly #timers = new Map<Slot, NodeJS.Timeout>();

  constructor({ home, pool, groups, reapAfter = 30_000, keepWarmFor = 60_000 }: SlotsOptions) {
    this.groups = groups.length;
    this.#keepWarmFor = keepWarmFor;
    this.#folder = join(home, 'devices');
    mkdirSync(this.#folder, { recursive: true });
    this.#free = groups.map((devices, n) => new Slot(pool, n, devices, this.#folder, (slot) => this.#release(slot)));
    setTimeout(() => void this.#reap(pool).catch(report), reapAfter).unref();
  }

  /** Waits for a free group, in order of arrival. Prefers the group of the task's own subprocess, then a warm server, then an empty group.
   */
  async acquire(signal: AbortSignal, task?: Pick<Task, 'key' | 'warm'>): Promise<Slot> {
    signal.throwIfAborted();
    await this.#clearDamaged();
    signal.throwIfAborted();
    const left = new Map(recordsIn(this.#folder).map((record) => [record.slot, record]));
    const worth = ({ name }: Slot) => {
      const record = left.get(name);
      if (!record) return 1;
      return record.key === task?.key ? 3 : canReuse(record, task) ? 2 : 0;
    };
    const best = this.#free.toSorted((a, b) => worth(b) - worth(a))[0];
    if (best) return this.#take(best);
    const { promise, resolve, reject } = Promise.withResolvers<Slot>();
    const abort = () => {
      this.#waiting.delete(resolve);
      reject(signal.reason as Error);
    };
    this.#waiting.add(resolve);
    signal.addEventListener('abort', abort, { once: true });
    return promise.finally(() => signal.removeEventListener('abort', abort));
  }

  /** Stops warm servers when a worker shuts down. No group may be in use. */
  async close(): Promise<void> {
    await Promise.all(this.#free.map((slot) => this.#stopWarm(slot)));
  }

  #take(slot: Slot): Slot {
    this.#free.splice(this.#free.indexOf(slot), 1);
    clearTimeout(this.#timers.get(slot));
    this.#timers.delete(slot);
    return slot;
  }

  #release(slot: Slot): void {
    const [next] = this.#waiting;
    if (next) {
      this.#waiting.delete(next);
      return next(slot);
    }
    this.#free.push(slot);
    if (!this.#warmRecord(slot)) return;
    this.#timers.set(slot, setTimeout(() => void this.#stopWarm(slot).catch(report), this.#keepWarmFor).unref());
  }

  #warmRecord({ name }: Slot): SlotRecord | undefined {
    const record = recordOf(this.#folder, name);
    return record && isOurs(record) ? record : undefined;
  }

  async #stopWarm(slot: Slot): Promise<void> {
    const record = this.#warmRecord(slot);
    if (record) await this.#clear(record, slot);
  }

  /** Stops the subprocess of a record. `slot` is its group, if that is a free group of this pool: no task gets it in the meantime. */
  async #clear(record: SlotRecord, slot: Slot | undefined): Promise<void> {
    if (slot) this.#take(slot);
    try {
      await stopGroup(record);
      await awaitMemoryReleased(record.devices).catch(report);
      removeRecord(this.#folder, record);
    } finally {
      if (slot) this.#release(slot);
    }
  }

  /** Stops everything that this home has started on free groups with damaged files, and removes the files. */
  async #clearDamaged(): Promise<void> {
    const damaged = damagedIn(this.#folder).flatMap((name) => this.#free.filter((slot) => slot.name === name));
    await Promise.all(
      damaged.map(async (slot) => {
        this.#take(slot);
        try {
          await stopGroup({ pgid: null, pgStart: null, marker: slot.markerPrefix });
          rmSync(join(this.#folder, `${slot.name}.json`), { recursive: true, force: true });
          report(
            new Error(`${slot.name}.json in ${this.#folder} was damaged: what this home had started on that device group was stopped.`),
          );
        } finally {
          this.#release(slot);
        }
      }),
    );
  }

  /** Stops subprocesses that dead workers left in this pool, also on groups that it no longer has. */
  async #reap(pool: string): Promise<void> {
    await this.#clearDamaged();
    for (const record of recordsIn(this.#folder)) {
      if (record.slot.replace(/-\d+$/, '') !== pool || ownerLives(record)) continue;
      const slot = this.#free.find(({ name }) => name === record.slot);
      if (!slot && Number(record.slot.slice(pool.length + 1)) < this.groups) continue; // the task that holds the group has claimed it
      await this.#clear(record, slot).catch(report);
    }
  }
}
