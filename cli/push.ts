/** Uploads an export to the Hugging Face Hub. */
import { setTimeout as delay } from 'node:timers/promises';
import { pushFolder } from '../devices/hub.ts';
import { BackspinError } from '../schemas/errors.ts';
import type { PushSpec } from '../schemas/trainer.ts';

/** Milliseconds before the Hub is asked again after a failure of the network; each pause is twice the one before. */
const FIRST_PAUSE = 1000;
const MOST_TRIES = 8;

/** Prints each file that is sent. Files that the repository has are left out, so a push that ended too early goes on with the others. */
export async function push(spec: Omit<PushSpec, 'version'>): Promise<void> {
  for (let tries = 1; ; tries++) {
    let [sent, present] = [0, 0];
    try {
      const url = await pushFolder(spec, (file) => {
        if (!file.sent) present++;
        else console.log(`${file.name}: sent (${++sent})`);
      });
      console.log(`${url}: ${sent} files sent${present > 0 ? `, ${present} were there` : ''}`);
      return;
    } catch (error) {
      if (!(error instanceof BackspinError) || error.type !== 'Down') throw error;
      if (tries === MOST_TRIES)
        throw new BackspinError('Down', `${error.message} The same command goes on where this one ended.`, { cause: error });
      const pause = FIRST_PAUSE * 2 ** (tries - 1);
      console.error(`${error.message} Again in ${pause / 1000} s.`);
      await delay(pause);
    }
  }
}
