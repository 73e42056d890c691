/**
 * The device groups of one pool on this host, and what runs on them. A file for each group tells a successor of this process what
 * was left there: a living child of the same key is adopted, anything else is stopped. A server whose task is over can be kept warm
 * on its group for a while: the next task that wants the like adopts it too.
 */
import { globSync, mkdirSync, readFileSync, realpathSync, rmSync } from 'node:fs';
import { createHash, randomUUID } from 'node:crypto';
import { basename, join } from 'node:path';
import { BackspinError } from '../schemas/errors.ts';
import { slotRecord, type SlotRecord } from '../schemas/devices.ts';
import { writeAtomic } from '../store/files.ts';
import { Child, type Launch } from './child.ts';
import { described, memoryBack, memoryFree, occupied } from './memory.ts';
import { alive, self, stopGroup } from './processes.ts';

/** What a child is for. */
export interface Task {
  readonly kind: 'serve' | 'train';
  /** The same for every attempt, and of nothing else that runs at the same time. */
  readonly key: string;
  /** Attempt of the activity: a later one may stop what an earlier one runs, even if its worker lives. */
  readonly attempt: number;
  readonly folder: string;
  /** Of a server: what it has in common with every task that could take it over. Default: nothing can. */
  readonly warm?: string;
}

export interface SlotsOptions {
  /** Holds the folder `devices`. On a disk of this host. */
  readonly home: string;
  readonly pool: string;
  /** UUIDs of the CUDA devices of each group; none for one that computes on the CPU. */
  readonly groups: readonly (readonly string[])[];
  /** Milliseconds after which a child of a dead worker that nobody has adopted is stopped. Default: 30,000. */
  readonly reapAfter?: number;
  /** Milliseconds that a warm server waits for another task. Default: 60,000. */
  readonly keepWarmFor?: number;
}

export class Slots {
  readonly groups: number;
  readonly #folder: string;
  readonly #free: Slot[];
  readonly #waiting = new Set<(slot: Slot) => void>();
  readonly #parkFor: number;
  /** Of free groups, to end what is kept warm there. */
  readonly #timers = new Map<Slot, NodeJS.Timeout>();

  /** One per pool and host. */
  constructor({ home, pool, groups, reapAfter = 30_000, keepWarmFor = 60_000 }: SlotsOptions) {
    this.groups = groups.length;
    this.#parkFor = keepWarmFor;
    this.#folder = join(home, 'devices');
    mkdirSync(this.#folder, { recursive: true });
    this.#free = groups.map((devices, n) => new Slot(pool, n, devices, this.#folder, (slot) => this.#release(slot)));
    setTimeout(() => void this.#reap(pool).catch(report), reapAfter).unref();
  }

  /** Waits for a free group, in order of arrival. Prefers the one where the task's own child runs, a warm one, then an empty one. */
  async acquire(signal: AbortSignal, task?: Pick<Task, 'key' | 'warm'>): Promise<Slot> {
    signal.throwIfAborted();
    await this.#mend();
    signal.throwIfAborted();
    const left = new Map(recordsIn(this.#folder).map((record) => [record.slot, record]));
    const worth = ({ name }: Slot) => {
      const record = left.get(name);
      if (!record) return 1;
      return record.key === task?.key ? 3 : isWarm(record, task) ? 2 : 0;
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

  /** Stops what is kept warm. For a worker that ends: nothing may be under way on any group. */
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
    if (this.#warmRecord(slot)) this.#timers.set(slot, setTimeout(() => void this.#stopWarm(slot).catch(report), this.#parkFor).unref());
  }

  #warmRecord = ({ name }: Slot) => recordsIn(this.#folder).find((record) => record.slot === name && isOurs(record));

  async #stopWarm(slot: Slot): Promise<void> {
    const record = this.#warmRecord(slot);
    if (record) await this.#clear(record, slot);
  }

  /** Stops what a record tells of. Its group, if it is one of ours, is free before and after, and nobody's meanwhile. */
  async #clear(record: SlotRecord, slot: Slot | undefined): Promise<void> {
    if (slot) this.#take(slot);
    try {
      await stopGroup(record);
      await memoryBack(record.devices).catch(report);
      remove(this.#folder, record);
    } finally {
      if (slot) this.#release(slot);
    }
  }

  /** Files that do not say what runs on their free groups, as a power failure leaves them: what this home has started there is stopped,
   *  and the groups are empty. */
  async #mend(): Promise<void> {
    const unreadable = filesIn(this.#folder).filter(({ record }) => !record);
    const found = unreadable.flatMap(({ file }) => this.#free.filter(({ name }) => basename(file) === `${name}.json`));
    await Promise.all(
      found.map(async (slot) => {
        this.#take(slot);
        try {
          await stopGroup({ pgid: null, pgStart: null, marker: slot.mark });
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

  /** Stops what dead workers left in this pool and nobody came back for, also on groups that it no longer has. */
  async #reap(pool: string): Promise<void> {
    await this.#mend();
    for (const record of recordsIn(this.#folder)) {
      if (record.slot.replace(/-\d+$/, '') !== pool || ownerLives(record)) continue;
      const slot = this.#free.find(({ name }) => name === record.slot);
      if (!slot && Number(record.slot.slice(pool.length + 1)) < this.groups) continue; // in use: whoever holds it has seen to it
      await this.#clear(record, slot).catch(report);
    }
  }
}

/** One device group, held. */
export class Slot implements AsyncDisposable {
  /** Its place among the groups of the pool, from 0. */
  readonly group: number;
  readonly name: string;
  /** UUIDs; its children see these CUDA devices and no other. */
  readonly devices: readonly string[];
  /** Begins the markers of all that this home starts here. */
  readonly mark: string;
  readonly #folder: string;
  readonly #release: (slot: Slot) => void;

  constructor(pool: string, group: number, devices: readonly string[], folder: string, release: (slot: Slot) => void) {
    this.group = group;
    this.name = `${pool}-${group}`;
    this.devices = devices;
    this.mark = `${createHash('sha256').update(realpathSync(folder)).digest('hex').slice(0, 12)}.${this.name}.`;
    this.#folder = folder;
    this.#release = release;
  }

  /**
   * Makes the group ours: gives the living child of this key that a dead worker left, or a warm server, now owned by this process;
   * or undefined once the group is empty and no other group runs the key. Throws DeviceLost when a living worker holds the group or
   * the key.
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
      const fits = record.kind === task.kind && sameDevices && (sameKey || isWarm(record, task));
      if (free && here && fits && pgid !== null && pgStart !== null && alive(pgid, pgStart)) {
        await this.#write({ ...record, owner: self.pid, ownerStart: self.start, key: task.key, attempt: task.attempt });
        adopted = Child.adopt({ pgid, pgStart, marker: record.marker }, record.folder);
      } else {
        await stopGroup(record);
        remove(this.#folder, record);
      }
    }
    return adopted;
  }

  /**
   * Starts a child here, once the memory of the devices is free. The file is there before the child is, so that no death of this
   * process leaves one unknown. Throws DeviceLost where it is not free.
   */
  async launch(task: Task, { signal, ...how }: Omit<Launch, 'folder'> & { readonly signal: AbortSignal }): Promise<Child> {
    await memoryFree(this.devices, signal);
    const { kind, key, attempt, folder, warm = null } = task;
    const marker = `${this.mark}${randomUUID()}`;
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
    await this.#write(record);
    const child = await Child.launch(marker, { ...how, env: { ...how.env, CUDA_VISIBLE_DEVICES: this.devices.join() }, folder });
    await this.#write({ ...record, ...child.group });
    return child;
  }

  /** Stops a child that was claimed or launched here, and what it left. Harmless when somebody else has the group by now. */
  async stop(child: Child, grace?: number): Promise<void> {
    await child.stop(grace);
    await memoryBack(this.devices).catch(report);
    const record = recordsIn(this.#folder).find(({ slot }) => slot === this.name);
    if (record?.marker === child.group.marker && isOurs(record)) remove(this.#folder, record);
  }

  /** Leaves a server that was claimed or launched here to whoever wants the like, once the group is given back. */
  async keepWarm(child: Child): Promise<void> {
    child.leave();
    const record = recordsIn(this.#folder).find(({ slot }) => slot === this.name);
    if (record?.marker === child.group.marker && isOurs(record)) await this.#write({ ...record, key: 'warm', attempt: 0 });
  }

  /** Who else is on the devices, in words; undefined: nobody. */
  async others(): Promise<readonly string[] | undefined> {
    const found = await occupied(this.devices, recordsIn(this.#folder));
    const others = found.flatMap((device) => device.others.map(described));
    return others.length > 0 ? others : undefined;
  }

  /** Gives the group back to the pool. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#release(this);
  }

  #write(record: SlotRecord): Promise<void> {
    return writeAtomic(join(this.#folder, `${this.name}.json`), JSON.stringify(record));
  }
}

/** Nobody waits for the reaper. */
const report = (error: unknown) => void process.stderr.write(`${(error as Error).message}\n`);
const ownerLives = ({ owner, ownerStart }: SlotRecord) => alive(owner, ownerStart);
const isWarm = (record: SlotRecord, task?: Pick<Task, 'warm'>) => record.warm !== null && record.warm === task?.warm;
const isOurs = ({ owner, ownerStart }: SlotRecord) => owner === self.pid && ownerStart === self.start;

/** What runs, or was left, on the device groups of this host, as far as its files say it. */
export const recordsIn = (folder: string): SlotRecord[] => filesIn(folder).flatMap(({ record }) => record ?? []);

function filesIn(folder: string): { readonly file: string; readonly record: SlotRecord | undefined }[] {
  return globSync(join(folder, '*.json')).flatMap((file) => {
    try {
      const record = slotRecord.parse(JSON.parse(readFileSync(file, 'utf8')));
      return [{ file, record: `${record.slot}.json` === basename(file) ? record : undefined }];
    } catch (error) {
      return (error as NodeJS.ErrnoException).code === 'ENOENT' ? [] : [{ file, record: undefined }]; // released meanwhile
    }
  });
}

/** Unless it is another record by now. */
function remove(folder: string, { slot, marker }: SlotRecord): void {
  if (recordsIn(folder).some((record) => record.slot === slot && record.marker === marker))
    rmSync(join(folder, `${slot}.json`), { force: true });
}
