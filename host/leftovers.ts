/** One `up` for each home, and nothing left of one that died. */
import { createHash } from 'node:crypto';
import { realpathSync } from 'node:fs';
import { createServer } from 'node:net';
import { setTimeout as wait } from 'node:timers/promises';
import { GRACE } from '../devices/processes.ts';
import { BackspinError } from '../schemas/errors.ts';
import { currentUp, homeFolder, inHome, lifelinePath } from './home.ts';
import { kill, startedWith } from './proc.ts';

/** Makes this process the one `up` of its home until it ends, however it ends: the kernel holds the lock, as an abstract socket. */
export async function holdHome(home = homeFolder()): Promise<void> {
  const name = createHash('sha256').update(realpathSync(home)).digest('hex').slice(0, 32);
  const server = createServer();
  try {
    await new Promise<void>((resolve, reject) => void server.once('error', reject).listen(`\0backspin-up-${name}`, resolve));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw error;
    const up = currentUp();
    const way = up
      ? ` (process ${up.pid}, Temporal at ${up.address}): \`backspin down\` stops it.`
      : `, and ${inHome('up.json')} does not say as which process: if it is not just starting, end it with \`kill\` (\`ps ax | grep 'backspin.* up'\` shows it).`;
    throw new BackspinError('Refused', `backspin is already up in ${home}${way}`);
  }
  server.unref();
}

/** Living processes that this home's `up`, or one before it, has started: they carry the path of its lifeline. */
export function leftovers(): number[] {
  return startedWith(`BACKSPIN_LIFELINE=${lifelinePath()}\0`);
}

/** Ends them: their launchers see the death of an `up` and need a moment; after that they are killed. Resolves when all are gone. */
export async function sweepLeftovers(): Promise<void> {
  const until = performance.now() + GRACE + 1_000;
  for (let left = leftovers(); left.length > 0; left = leftovers()) {
    if (performance.now() > until) for (const pid of left) kill(pid);
    await wait(50);
  }
}
