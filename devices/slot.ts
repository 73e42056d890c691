/** One device group that an activity holds: adopts, launches, stops or keeps warm the subprocess on it. A warm server stays on its group
 *  for a while after its task has ended. The next task with the same base model and options adopts it. */
import { randomUUID } from 'node:crypto';
import { realpathSync } from 'node:fs';
import { sha256 } from '../schemas/canonical.ts';
import type { SlotRecord } from '../schemas/devices.ts';
import { BackspinError } from '../schemas/errors.ts';
import { Subprocess, type Launch } from './subprocess.ts';
import { report } from './logs.ts';
import { describeOccupant, awaitMemoryReleased, awaitMemoryFree, deviceUsage } from './memory.ts';
import { alive, self, stopGroup } from './processes.ts';
import { canReuse, isOurs, ownerLives, recordOf, recordsIn, removeRecord, writeRecord } from './slot-files.ts';

/** The work that a subprocess does. */
export interface Task {
  readonly kind: 'serve' | 'train';
  /** The same for every attempt. No two tasks that run at the same time have the same key. */
  readonly key: string;
  /** Attempt of the activity. A later attempt may stop the subprocess of an earlier one, even if the earlier worker lives. */
  readonly attempt: number;
  readonly folder: string;
  /** For a server: tasks with an equal text can adopt it while it is warm. Default: none can. */
  readonly warm?: string;
}

export class Slot implements AsyncDisposable {
  /** Index of the group in its pool, from 0. */
  readonly group: number;
  readonly name: string;
  /** UUIDs. Its subprocesses see these CUDA devices and no others. */
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
   * Takes the group over. Returns a living subprocess that a dead worker left here under the same key, or a warm server that the task can
   * reuse; this process owns it from then on. Otherwise stops every subprocess on the group, and every subprocess with this key elsewhere,
   * and returns undefined. Throws `DeviceLost` if a living worker holds the group or the key.
   */
  async claim(task: Task): Promise<Subprocess | undefined> {
    let adopted: Subprocess | undefined;
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
        adopted = Subprocess.adopt({ pgid, pgStart, marker: record.marker }, record.folder);
      } else {
        await stopGroup(record);
        removeRecord(this.#folder, record);
      }
    }
    return adopted;
  }

  /** Starts a subprocess once the memory of the devices is free. Writes the file before the start, so the next owner knows of the
   *  subprocess whenever this process dies. Throws `DeviceLost` if other processes hold the memory. */
  async launch(task: Task, { signal, ...launch }: Omit<Launch, 'folder'> & { readonly signal: AbortSignal }): Promise<Subprocess> {
    await awaitMemoryFree(this.devices, signal);
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
    const subprocess = await Subprocess.launch(marker, {
      ...launch,
      env: { ...launch.env, CUDA_VISIBLE_DEVICES: this.devices.join() },
      folder,
    });
    await writeRecord(this.#folder, { ...record, ...subprocess.group });
    return subprocess;
  }

  /** Stops a subprocess that was claimed or launched here, and every process of its group. Leaves the file alone if the group has a new
   *  owner. */
  async stop(subprocess: Subprocess, grace?: number): Promise<void> {
    await subprocess.stop(grace);
    await awaitMemoryReleased(this.devices).catch(report);
    const record = this.#recordOf(subprocess);
    if (record) removeRecord(this.#folder, record);
  }

  /** Leaves a server that was claimed or launched here running, for the next task that can reuse it. */
  async keepWarm(subprocess: Subprocess): Promise<void> {
    subprocess.leave();
    const record = this.#recordOf(subprocess);
    if (record) await writeRecord(this.#folder, { ...record, key: 'warm', attempt: 0 });
  }

  /** Descriptions of processes on the devices that backspin did not start; undefined: none. */
  async foreignProcesses(): Promise<readonly string[] | undefined> {
    const usage = await deviceUsage(this.devices, recordsIn(this.#folder));
    const foreign = usage.flatMap((device) => device.foreign.map(describeOccupant));
    return foreign.length > 0 ? foreign : undefined;
  }

  /** Returns the group to the pool. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#release(this);
  }

  /** The record of this subprocess, if this process still owns it. */
  #recordOf(subprocess: Subprocess): SlotRecord | undefined {
    const record = recordOf(this.#folder, this.name);
    return record?.marker === subprocess.group.marker && isOurs(record) ? record : undefined;
  }
}
