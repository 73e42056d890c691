/**
 * Device memory around a child: what ended processes had must be back before the next child starts. What processes of others hold is
 * told, and never touched.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { BackspinError } from '../schemas/errors.ts';
import { cudaDevices, cudaProcesses, type Device, type Occupant } from './nvidia.ts';
import { members, runs, type Group } from './processes.ts';

/** Share of a device's memory that may be in use where a child starts: model servers ask for the other nine tenths. */
const TAKEN = 0.1;
/** Milliseconds in which a driver gives back what a killed process had. */
const BACK_WITHIN = 60_000;
const LOOK_EVERY = 500;

export interface Occupied extends Device {
  /** Living processes on it that are not ours. */
  readonly others: readonly Occupant[];
}

/** What is on these devices (UUIDs), where `ours` runs. Throws DeviceLost when one is not there any more. */
export async function occupied(uuids: readonly string[], ours: readonly Group[] = []): Promise<Occupied[]> {
  if (uuids.length === 0) return [];
  const own = new Set(ours.flatMap(members));
  const [devices, processes] = await Promise.all([cudaDevices(), cudaProcesses()]);
  return uuids.map((uuid) => {
    const found = devices.find((device) => device.uuid === uuid);
    if (found) return { ...found, others: processes.filter(({ device, pid }) => device === uuid && runs(pid) && !own.has(pid)) };
    throw new BackspinError(
      'DeviceLost',
      `nvidia-smi does not list the device ${uuid} any more: restart the machine, or take it out of its pool.`,
    );
  });
}

export const described = ({ pid, name, used }: Occupant): string =>
  `process ${pid} (${name})${Number.isFinite(used) ? ` with ${used} MiB` : ''}`;

/**
 * Waits until the devices have back what ended processes had of them, and gives what living ones have. Throws DeviceLost when they
 * have not within so many milliseconds.
 */
export async function memoryBack(uuids: readonly string[], signal?: AbortSignal, within: number = BACK_WITHIN): Promise<Occupied[]> {
  for (const end = performance.now() + within; ; await delay(LOOK_EVERY, undefined, { signal })) {
    const found = await occupied(uuids);
    const late = found.find(({ used, others, total }) => used - others.reduce((sum, one) => sum + one.used, 0) > TAKEN * total);
    if (!late) return found;
    if (performance.now() > end)
      throw new BackspinError(
        'DeviceLost',
        `${memory(late)} stay in use by no process that this host can see: the driver keeps what an ended one had, or somebody outside of this container has it. Free the device, or take it out of its pool.`,
      );
  }
}

/** Likewise; throws DeviceLost too where living processes leave less than nine tenths of a device. */
export async function memoryFree(uuids: readonly string[], signal?: AbortSignal, within?: number): Promise<Occupied[]> {
  const found = await memoryBack(uuids, signal, within);
  const full = found.find(({ used, total }) => used > TAKEN * total);
  if (!full) return found;
  throw new BackspinError(
    'DeviceLost',
    `${memory(full)} are in use by ${full.others.map(described).join(', ')}, which backspin did not start and does not touch: stop it, or take the device out of its pool.`,
  );
}

const memory = ({ index, uuid, total, used }: Device) => `${used} of ${total} MiB of device ${index} (${uuid})`;
