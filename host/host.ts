/** Reserves a home for one host at a time: only that host can see which of the home's processes live. */
import { createHash } from 'node:crypto';
import { readFileSync, rmSync } from 'node:fs';
import { hostname } from 'node:os';
import { z } from 'zod';
import { inContainer } from '../devices/processes.ts';
import { BackspinError } from '../schemas/errors.ts';
import { putIfAbsent, writeAtomic } from '../store/files.ts';
import { inHome } from './home.ts';

const host = z.object({ id: z.string(), name: z.string(), since: z.string() });
type Host = z.infer<typeof host>;

const file = () => inHome('host.json');

/** Identity of the host. Stays the same after a reboot or a change of the host name. Containers of one image may share a machine id. */
function identity(): string {
  const machine = ['/etc/machine-id', '/var/lib/dbus/machine-id'].map(read).find((id) => /^[0-9a-f]{32}$/.test(id));
  const name = machine === undefined || inContainer ? hostname() : '';
  return createHash('sha256').update(`backspin ${machine} ${name}`).digest('hex').slice(0, 32);
}

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8').trim();
  } catch {
    return '';
  }
}

/** The host that has the home; undefined if none has, or the file is unreadable after a power failure. */
function owner(): Host | undefined {
  try {
    return host.parse(JSON.parse(read(file())));
  } catch {
    return undefined;
  }
}

/** Why this host may not use the home; undefined if it may. */
export function hostFault(): string | undefined {
  const other = owner();
  if (!other || other.id === identity()) return undefined;
  return `${inHome()} belongs to the host ${other.name} since ${other.since}, and this is ${hostname()}: two hosts cannot share a home. Stop it there (\`backspin down\`), or set BACKSPIN_HOME to a folder of this host alone. If ${other.name} is gone for good, \`rm ${file()}\` gives the home to this host.`;
}

/** Throws an error with a sentence if another host has the home. */
export function checkHost(): void {
  const fault = hostFault();
  if (fault !== undefined) throw new BackspinError('Refused', fault);
}

/** Reserves the home for this host until `releaseHome`. */
export async function claimHome(): Promise<void> {
  const text = `${JSON.stringify({ id: identity(), name: hostname(), since: new Date().toISOString() } satisfies Host)}\n`;
  if (!(await putIfAbsent(file(), text)) && owner() === undefined) await writeAtomic(file(), text);
  checkHost(); // another host may have been faster
}

/** Frees the home for any host, once nothing runs here. */
export const releaseHome = (): void => rmSync(file(), { force: true });
