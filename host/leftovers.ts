/** Ensures one `up` per home and ends processes that a dead `up` left. */
import { createHash } from 'node:crypto';
import { realpathSync } from 'node:fs';
import { createServer } from 'node:net';
import { setTimeout as wait } from 'node:timers/promises';
import { GRACE } from '../devices/processes.ts';
import { BackspinError } from '../schemas/errors.ts';
import { currentUp, homeFolder, inHome, lifelinePath } from './home.ts';
import { kill, startedWith } from './proc.ts';

/** Makes this process the only `up` of its home until it ends. The kernel holds the lock, as an abstract socket. */
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

/** Living processes that this home's `up`, or an earlier one, has started. The path of the lifeline in their environment shows it. */
export function leftovers(): number[] {
  return startedWith(`BACKSPIN_LIFELINE=${lifelinePath()}\0`);
}

/** Ends leftovers: waits a moment for their launchers to notice the death of `up`, then kills them. Resolves when none is left. */
export async function sweepLeftovers(): Promise<void> {
  const until = performance.now() + GRACE + 1_000;
  for (let left = leftovers(); left.length > 0; left = leftovers()) {
    if (performance.now() > until) for (const pid of left) kill(pid);
    await wait(50);
  }
}
