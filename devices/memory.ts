/** Waits until the driver has freed the memory of our ended processes before it starts the next. Foreign processes are reported, never
 *  killed. */
import { setTimeout as delay } from 'node:timers/promises';
import { BackspinError } from '../schemas/errors.ts';
import { cudaDevices, cudaProcesses, type Device, type Occupant } from './nvidia.ts';
import { members, runs, type Group } from './processes.ts';

/** Share of a device's memory that may be in use when a subprocess starts: model servers take the other nine tenths. */
const MAX_USED_SHARE = 0.1;
/** Milliseconds that a driver may take to free the memory of a killed process. */
const RELEASED_WITHIN = 60_000;
const LOOK_EVERY = 500;

export interface DeviceUsage extends Device {
  /** Living processes on the device that are not ours. */
  readonly foreign: readonly Occupant[];
}

/** Memory and foreign processes of these devices (UUIDs). `ours` are our own processes. Throws DeviceLost if a device is missing. */
export async function deviceUsage(uuids: readonly string[], ours: readonly Group[] = []): Promise<DeviceUsage[]> {
  if (uuids.length === 0) return [];
  const own = new Set(ours.flatMap(members));
  const [devices, processes] = await Promise.all([cudaDevices(), cudaProcesses()]);
  return uuids.map((uuid) => {
    const device = devices.find((device) => device.uuid === uuid);
    if (device) return { ...device, foreign: processes.filter(({ device, pid }) => device === uuid && runs(pid) && !own.has(pid)) };
    throw new BackspinError(
      'DeviceLost',
      `nvidia-smi does not list the device ${uuid} any more: restart the machine, or take it out of its pool.`,
    );
  });
}

export const describeOccupant = ({ pid, name, used }: Occupant): string =>
  `process ${pid} (${name})${Number.isFinite(used) ? ` with ${used} MiB` : ''}`;

/** Waits until the driver has freed the memory of ended processes. Returns the usage that remains. Throws DeviceLost after `within`
 *  milliseconds. */
export async function awaitMemoryReleased(
  uuids: readonly string[],
  signal?: AbortSignal,
  within: number = RELEASED_WITHIN,
): Promise<DeviceUsage[]> {
  for (const end = performance.now() + within; ; await delay(LOOK_EVERY, undefined, { signal })) {
    const usage = await deviceUsage(uuids);
    const late = usage.find(({ used, foreign, total }) => used - foreign.reduce((sum, one) => sum + one.used, 0) > MAX_USED_SHARE * total);
    if (!late) return usage;
    if (performance.now() > end)
      throw new BackspinError(
        'DeviceLost',
        `${describeMemory(late)} stay in use by no process that this host can see: the driver keeps what an ended one had, or somebody outside of this container has it. Free the device, or take it out of its pool.`,
      );
  }
}

/** Waits likewise. Also throws DeviceLost if living processes leave less than nine tenths of a device free. */
export async function awaitMemoryFree(uuids: readonly string[], signal?: AbortSignal, within?: number): Promise<DeviceUsage[]> {
  const found = await awaitMemoryReleased(uuids, signal, within);
  const full = found.find(({ used, total }) => used > MAX_USED_SHARE * total);
  if (!full) return found;
  throw new BackspinError(
    'DeviceLost',
    `${describeMemory(full)} are in use by ${full.foreign.map(describeOccupant).join(', ')}, which backspin did not start and does not touch: stop it, or take the device out of its pool.`,
  );
}

const describeMemory = ({ index, uuid, total, used }: Device) => `${used} of ${total} MiB of device ${index} (${uuid})`;
