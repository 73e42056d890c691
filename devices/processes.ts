/** Identifies and stops Linux processes. The kernel reuses pids, so a process is its pid with its start time, boot and pid namespace. */
import { readFileSync, readdirSync, readlinkSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { BackspinError } from '../schemas/errors.ts';

/** Environment variable of every process of a subprocess. */
export const MARK = 'BACKSPIN_MARK';

/** The processes of one subprocess: a process group, and every other process with the marker. */
export interface Group {
  /** Pid of the group's leader; null if only the marker is known. */
  readonly pgid: number | null;
  readonly pgStart: string | null;
  readonly marker: string;
}

/** Boot id and pid namespace (of a container). Pids of another boot or namespace mean nothing here. */
const bootAndNamespace = `${readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').replaceAll('-', '').slice(0, 12)}.${namespace()}`;
function namespace(): string {
  try {
    return /\d+/.exec(readlinkSync('/proc/self/ns/pid'))?.[0] ?? '0';
  } catch {
    return '0';
  }
}

/** The initial pid namespace of a machine has this number, according to the kernel's source. */
export const inContainer = !['0', '4026531836'].includes(namespace());

/** Milliseconds between SIGTERM and SIGKILL. */
export const GRACE = 5_000;
/** Milliseconds that a killed process may take to end. Longer means that a driver holds it in the kernel. */
const KILL_WITHIN = 10_000;

/** Fields of /proc/PID/stat from the third on. The second, the name, may hold blanks and brackets. */
function stat(pid: number): { readonly state: string; readonly pgid: number; readonly start: string } | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'latin1');
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
    return { state: fields[0]!, pgid: Number(fields[2]), start: `${bootAndNamespace}.${fields[19]}` };
  } catch {
    return undefined;
  }
}
const dead = (state: string) => state === 'Z' || state === 'X';

/** Boot, namespace, and clock ticks from the boot to the start of the process; undefined if there is no such process. */
export const startTime = (pid: number): string | undefined => stat(pid)?.start;

/** Whether exactly this process still runs. A zombie does not run. */
export function alive(pid: number, start: string): boolean {
  const status = stat(pid);
  return status !== undefined && status.start === start && !dead(status.state);
}

/** Whether any process with this pid runs. */
export function runs(pid: number): boolean {
  const found = stat(pid);
  return found !== undefined && !dead(found.state);
}

/** Start time for a process of this boot that has already ended. */
export const ENDED = `${bootAndNamespace}.ended`;

/** Identity of this process, for other processes to check. */
export const self = { pid: process.pid, start: startTime(process.pid)! } as const;

/** Living processes whose environment has this marker. A marker that ends in a dot is a prefix. */
export const sweep = (marker: string): number[] => processes((pid) => marked(pid, marker));

/** Living processes of a group. Finds them by pgid too, because some engines overwrite their environment. */
export function members({ pgid, pgStart, marker }: Group): number[] {
  const leader = pgid === null ? undefined : stat(pgid);
  // The kernel does not reuse a pgid while members of the group live.
  const ours =
    pgid !== null && pgStart !== null && pgStart.startsWith(`${bootAndNamespace}.`) && (leader === undefined || leader.start === pgStart);
  return processes((pid, group) => (ours && group === pgid) || marked(pid, marker));
}

function processes(matches: (pid: number, pgid: number) => boolean): number[] {
  return readdirSync('/proc').flatMap((name) => {
    const pid = /^\d+$/.test(name) ? Number(name) : process.pid;
    if (pid === process.pid) return [];
    const found = stat(pid);
    return found && !dead(found.state) && matches(pid, found.pgid) ? [pid] : [];
  });
}

function marked(pid: number, marker: string): boolean {
  try {
    return `\0${readFileSync(`/proc/${pid}/environ`, 'latin1')}`.includes(`\0${MARK}=${marker}${marker.endsWith('.') ? '' : '\0'}`);
  } catch {
    return false; // the process has ended, or belongs to another user
  }
}

/** Stops a subprocess and all its processes: SIGTERM, `grace` milliseconds, then SIGKILL until none is left. Does nothing if the group has
 *  ended. Throws DeviceLost if a process survives SIGKILL. */
export async function stopGroup(group: Group, grace: number = GRACE): Promise<void> {
  sendSignal(group, 'SIGTERM');
  for (const end = performance.now() + grace; performance.now() < end; await delay(20)) {
    if (members(group).length === 0) return;
  }
  for (const end = performance.now() + KILL_WITHIN; performance.now() < end; await delay(20)) {
    if (!sendSignal(group, 'SIGKILL')) return;
  }
  throw new BackspinError(
    'DeviceLost',
    `The processes ${members(group).join(', ')} have not ended ${KILL_WITHIN / 1000} s after they were killed: the machine is too busy, or a driver holds them. In the second case restart the machine, or free its device.`,
  );
}

/** Returns whether the group had any process left. */
function sendSignal(group: Group, signal: NodeJS.Signals): boolean {
  const pids = members(group);
  for (const pid of pids) {
    try {
      process.kill(pid, signal);
    } catch {
      // the process has ended meanwhile
    }
  }
  return pids.length > 0;
}
