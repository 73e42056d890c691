/** Processes by what identifies them: a pid is used again, a pid with its start, boot and namespace is not. Linux. */
import { readFileSync, readdirSync, readlinkSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { BackspinError } from '../schemas/errors.ts';

/** In the environment of every process of a child. */
export const MARK = 'BACKSPIN_MARK';

/** The processes of one child: a process group, and whatever else carries the marker. */
export interface Group {
  /** Pid of the group's leader; null: only the marker is known. */
  readonly pgid: number | null;
  readonly pgStart: string | null;
  readonly marker: string;
}

/** This boot of this machine, and the pid namespace (of a container): the numbers of another say nothing here. */
const era = `${readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').replaceAll('-', '').slice(0, 12)}.${namespace()}`;
function namespace(): string {
  try {
    return /\d+/.exec(readlinkSync('/proc/self/ns/pid'))?.[0] ?? '0';
  } catch {
    return '0';
  }
}

/** The first namespace of a machine has this number, by the kernel's source. */
export const inContainer = !['0', '4026531836'].includes(namespace());

/** Milliseconds between SIGTERM and SIGKILL. */
export const GRACE = 5_000;
/** Milliseconds that a killed process may take to go: longer means that the kernel holds it in a driver. */
const KILL_WITHIN = 10_000;

/** Fields of /proc/PID/stat from the third on: the second, the name, may hold blanks and brackets. */
function stat(pid: number): { readonly state: string; readonly pgid: number; readonly start: string } | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'latin1');
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
    return { state: fields[0]!, pgid: Number(fields[2]), start: `${era}.${fields[19]}` };
  } catch {
    return undefined;
  }
}
const dead = (state: string) => state === 'Z' || state === 'X';

/** Boot, namespace, and clock ticks from that boot to the start of the process; undefined when there is none. */
export const startTime = (pid: number): string | undefined => stat(pid)?.start;

/** Whether this very process still runs. A zombie does not. */
export function alive(pid: number, start: string): boolean {
  const found = stat(pid);
  return found !== undefined && found.start === start && !dead(found.state);
}

/** Whether a process of this number runs, whichever it is. */
export function runs(pid: number): boolean {
  const found = stat(pid);
  return found !== undefined && !dead(found.state);
}

/** The start of a process that has ended by now, in this boot. */
export const ENDED = `${era}.ended`;

/** This process, as others can look for it. */
export const self = { pid: process.pid, start: startTime(process.pid)! } as const;

/** Living processes whose environment carries the marker, or one that begins so where it ends in a dot. */
export const sweep = (marker: string): number[] => processes((pid) => marked(pid, marker));

/** Living processes of a group. The group's number counts beside the marker, since some engines write over their environment. */
export function members({ pgid, pgStart, marker }: Group): number[] {
  const leader = pgid === null ? undefined : stat(pgid);
  // While the leader is gone but members live, the kernel gives its number to nobody else.
  const ours = pgid !== null && pgStart !== null && pgStart.startsWith(`${era}.`) && (leader === undefined || leader.start === pgStart);
  return processes((pid, group) => (ours && group === pgid) || marked(pid, marker));
}

function processes(wanted: (pid: number, pgid: number) => boolean): number[] {
  return readdirSync('/proc').flatMap((name) => {
    const pid = /^\d+$/.test(name) ? Number(name) : process.pid;
    if (pid === process.pid) return [];
    const found = stat(pid);
    return found && !dead(found.state) && wanted(pid, found.pgid) ? [pid] : [];
  });
}

function marked(pid: number, marker: string): boolean {
  try {
    return `\0${readFileSync(`/proc/${pid}/environ`, 'latin1')}`.includes(`\0${MARK}=${marker}${marker.endsWith('.') ? '' : '\0'}`);
  } catch {
    return false; // it has ended, or belongs to somebody else
  }
}

/**
 * Ends a child with all its processes: SIGTERM, `grace` milliseconds, SIGKILL until none is left. A group that has ended is
 * none of its business. Throws DeviceLost when a process survives SIGKILL.
 */
export async function stopGroup(group: Group, grace: number = GRACE): Promise<void> {
  send(group, 'SIGTERM');
  for (const end = performance.now() + grace; performance.now() < end; await delay(20)) {
    if (members(group).length === 0) return;
  }
  for (const end = performance.now() + KILL_WITHIN; performance.now() < end; await delay(20)) {
    if (!send(group, 'SIGKILL')) return;
  }
  throw new BackspinError(
    'DeviceLost',
    `The processes ${members(group).join(', ')} do not end when killed: a driver holds them. Restart the machine, or free its device.`,
  );
}

/** Whether there was anybody to send it to. */
function send(group: Group, signal: NodeJS.Signals): boolean {
  const pids = members(group);
  for (const pid of pids) {
    try {
      process.kill(pid, signal);
    } catch {
      // it has ended meanwhile
    }
  }
  return pids.length > 0;
}
