/** `backspin down`: stops everything that `up` started, and waits until it has ended. */
import { existsSync } from 'node:fs';
import { setTimeout as wait } from 'node:timers/promises';
import { alive } from '../devices/processes.ts';
import { BackspinError } from '../schemas/errors.ts';
import { checkHost, releaseHome } from '../host/host.ts';
import { currentUp, homeFolder } from '../host/home.ts';
import { holdHome, sweepLeftovers } from '../host/leftovers.ts';

/** Milliseconds in which workers finish their work or release it. */
const PATIENCE = 60_000;

export async function run(): Promise<void> {
  checkHost();
  const up = currentUp();
  if (!up) {
    if (existsSync(homeFolder())) await holdHome(); // otherwise a living `up` would restart what this command ends
    await sweepLeftovers();
    releaseHome();
    console.log(`Nothing is up in ${homeFolder()}.`);
    return;
  }
  process.kill(up.pid, 'SIGTERM');
  const until = performance.now() + PATIENCE;
  while (alive(up.pid, up.start)) {
    if (performance.now() > until)
      throw new BackspinError(
        'Refused',
        `Process ${up.pid} has not ended within ${PATIENCE / 1000} s: \`kill -9 ${up.pid}\` ends it, and its children end with it.`,
      );
    await wait(50);
  }
  console.log(`backspin is down in ${homeFolder()}.`);
}
