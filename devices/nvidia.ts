/** Reads the CUDA devices and their processes from `nvidia-smi`. Memory is in MiB. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { BackspinError } from '../schemas/errors.ts';

export interface Device {
  readonly index: number;
  /** Stays the same when other devices come or go. */
  readonly uuid: string;
  readonly total: number;
  readonly used: number;
}

export interface Occupant {
  /** UUID of the device. */
  readonly device: string;
  readonly pid: number;
  readonly name: string;
  /** Infinity if the driver does not tell. */
  readonly used: number;
}

/** Milliseconds. A driver that takes longer hangs. */
const ANSWERS_WITHIN = 30_000;

/** All devices of this host. Throws DeviceLost if `nvidia-smi` is missing or its driver does not work. */
export async function cudaDevices(): Promise<Device[]> {
  const rows = await query('--query-gpu=index,uuid,memory.total,memory.used', 4);
  return rows.map(([index, uuid, total, used]) => ({ index: Number(index), uuid: uuid!, total: Number(total), used: Number(used) }));
}

/** Compute capability by UUID, such as 9.0. Empty if the driver does not tell. */
export async function cudaCapabilities(): Promise<ReadonlyMap<string, string>> {
  const rows = await query('--query-gpu=uuid,compute_cap', 2).catch(() => []);
  return new Map(rows.filter(([, capability]) => /^\d+\.\d+$/.test(capability!)).map(([uuid, capability]) => [uuid!, capability!]));
}

/** All processes that use a device. In a container these are only the container's processes, or none. */
export async function cudaProcesses(): Promise<Occupant[]> {
  const rows = await query('--query-compute-apps=gpu_uuid,pid,used_memory,process_name', 4);
  return rows.map(([device, pid, used, name]) => ({
    device: device!,
    pid: Number(pid),
    name: name!,
    used: /^\d+$/.test(used!) ? Number(used) : Infinity,
  }));
}

/** Rows with `cells` cells; the last cell may hold commas. */
async function query(what: string, cells: number): Promise<string[][]> {
  const options = { timeout: ANSWERS_WITHIN, killSignal: 'SIGKILL' } as const;
  let text: string;
  try {
    text = (await promisify(execFile)('nvidia-smi', [what, '--format=csv,noheader,nounits'], options)).stdout;
  } catch (error) {
    const { code, killed, stdout, message } = error as { code?: unknown; killed?: boolean; stdout?: string; message: string };
    const why =
      code === 'ENOENT' ? 'it is not on the PATH' : killed ? `no answer in ${ANSWERS_WITHIN / 1000} s` : stdout?.trim() || message.trim();
    throw new BackspinError(
      'DeviceLost',
      `nvidia-smi cannot tell of CUDA devices (${why}): install or repair the NVIDIA driver, or use pools without devices, such as --pool cpu=1.`,
    );
  }
  return text
    .split('\n')
    .filter((line) => line.trim() !== '')
    .map((line) => {
      const parts = line.split(',').map((part) => part.trim());
      return [...parts.slice(0, cells - 1), parts.slice(cells - 1).join(', ')];
    });
}
