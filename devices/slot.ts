/**
 * One device group, held by an activity: the child on it is adopted, launched, stopped, or kept warm. A warm server stays on its group
 * for a while after its task has ended. The next task with the same base model and options adopts it.
 */
import { randomUUID } from 'node:crypto';
import { realpathSync } from 'node:fs';
import { sha256 } from '../schemas/canonical.ts';
import type { SlotRecord } from '../schemas/devices.ts';
import { BackspinError } from '../schemas/errors.ts';
import { Child, type Launch } from './child.ts';
import { report } from './logs.ts';
import { described, memoryBack, memoryFree, occupied } from './memory.ts';
import { alive, self, stopGroup } from './processes.ts';
import { canReuse, isOurs, ownerLives, recordOf, recordsIn, removeRecord, writeRecord } from './slot-files.ts';

/** The work that a child does. */
export interface Task {
  readonly kind: 'serve' | 'train';
  /** The same for every attempt. No two tasks that run at the same time have one key. */
  readonly key: string;
  /** Attempt of the activity. A later attempt may stop the child of an earlier one, even if the earlier worker lives. */
  readonly attempt: number;
  readonly folder: string;
  /** Of a server: tasks with an equal text can adopt it once it is warm. Default: none can. */
  readonly warm?: string;
}

export class Slot implements AsyncDisposable {
  /** Its place among the groups of the pool, from 0. */
  readonly group: number;
  readonly name: string;
  /** UUIDs. Its children see these CUDA devices and no others. */
  readonly devices: readonly string[];
  /** The prefix of the marker of every process that this home starts here. */
  readonly markerPrefix: string;
  readonly #folder: string;
  readonly #release: (slot: Slot) => void;

  constructor(pool: string, group: number, devices: readonly string[], folder: string, release: (slot: Slot) => void) {
    this.group = group;
    this.name = `${pool}-${group}`;
    this.devices = devices;
    this.markerPrefix = `${sha256(realpathSync(folder)).slice(0, 12)}.${this.name}.`;
    this.#folder = folder;
    this.#release = release;
  }

  /**
   * Takes the group over. Returns a living child that a dead worker left here under the same key, or a warm server that the task can reuse;
   * this process owns it from then on. Otherwise stops every child on the group, and every child with this key elsewhere, and returns
   * undefined. Throws `DeviceLost` when a living worker holds the group or the key.
   */
  async claim(task: Task): Promise<Child | undefined> {
    let adopted: Child | undefined;
    for (const record of recordsIn(this.#folder)) {
      const here = record.slot === this.name;
      const sameKey = record.key === task.key;
      if (!here && !sameKey) continue;
      const free = !ownerLives(record) || (here && isOurs(record));
      if (!free && !(sameKey && record.attempt < task.attempt)) {
        throw new BackspinError(
          'DeviceLost',
          `${record.slot} is held by process ${record.owner}, which lives and runs ${record.key} there: two workers of one pool on this host? Stop one of them.`,
        );
      }
      const { pgid, pgStart } = record;
      const sameDevices = record.devices.join() === this.devices.join();
      const fits = record.kind === task.kind && sameDevices && (sameKey || canReuse(record, task));
      if (free && here && fits && pgid !== null && pgStart !== null && alive(pgid, pgStart)) {
        const { key, attempt } = task;
        await writeRecord(this.#folder, { ...record, owner: self.pid, ownerStart: self.start, key, attempt });
        adopted = Child.adopt({ pgid, pgStart, marker: record.marker }, record.folder);
      } else {
        await stopGroup(record);
        removeRecord(this.#folder, record);
      }
    }
    return adopted;
  }

  /**
   * Starts a child here, once the memory of the devices is free. Writes the file before it starts the child, so that the next owner knows of
   * the child whenever this process dies. Throws `DeviceLost` if other processes hold the memory.
   */
  async launch(task: Task, { signal, ...how }: Omit<Launch, 'folder'> & { readonly signal: AbortSignal }): Promise<Child> {
    await memoryFree(this.devices, signal);
    const { kind, key, attempt, folder, warm = null } = task;
    const marker = `${this.markerPrefix}${randomUUID()}`;
    const record = {
      slot: this.name,
      devices: [...this.devices],
      kind,
      marker,
      pgid: null,
      pgStart: null,
      owner: self.pid,
      ownerStart: self.start,
      key,
      attempt,
      folder,
      warm,
    };
    await writeRecord(this.#folder, record);
    const child = await Child.launch(marker, { ...how, env: { ...how.env, CUDA_VISIBLE_DEVICES: this.devices.join() }, folder });
    await writeRecord(this.#folder, { ...record, ...child.group });
    return child;
  }

  /** Stops a child that was claimed or launched here, and every process of its group. Leaves the file alone if the group has a new owner. */
  async stop(child: Child, grace?: number): Promise<void> {
    await child.stop(grace);
    await memoryBack(this.devices).catch(report);
    const record = this.#recordOf(child);
    if (record) removeRecord(this.#folder, record);
  }

  /** Leaves a server that was claimed or launched here running, for the next task that can reuse it. */
  async keepWarm(child: Child): Promise<void> {
    child.leave();
    const record = this.#recordOf(child);
    if (record) await writeRecord(this.#folder, { ...record, key: 'warm', attempt: 0 });
  }

  /** Processes on the devices that backspin did not start, in words; undefined: none. */
  async others(): Promise<readonly string[] | undefined> {
    const found = await occupied(this.devices, recordsIn(this.#folder));
    const others = found.flatMap((device) => device.others.map(described));
    return others.length > 0 ? others : undefined;
  }

  /** Returns the group to the pool. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#release(this);
  }

  /** The record of this child, if this process still owns it. */
  #recordOf(child: Child): SlotRecord | undefined {
    const record = recordOf(this.#folder, this.name);
    return record?.marker === child.group.marker && isOurs(record) ? record : undefined;
  }
}
