/** Uploads an export to the Hugging Face Hub. */
import { utimes } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { pushFolder } from '../devices/hub.ts';
import { BackspinError } from '../schemas/errors.ts';
import type { PushSpec } from '../schemas/trainer.ts';

/** Milliseconds before the Hub is asked again after a failure of the network; each pause is twice the one before. */
const FIRST_PAUSE = 1000;
/** In a row, without a file that arrived. */
const MOST_FAILURES = 8;
/** Milliseconds. `gc` removes temporary folders that nothing has touched for an hour, and an upload may take longer. */
const TOUCH_EVERY = 60_000;

/** Prints each file that has arrived. The Hub itself keeps what was uploaded, so a push that ended too early goes on with the other files,
 *  from any host. */
export async function push(spec: Omit<PushSpec, 'version'>): Promise<void> {
  const touch = setInterval(() => void utimes(spec.folder, new Date(), new Date()).catch(() => {}), TOUCH_EVERY);
  try {
    await pushUntilDone(spec);
  } finally {
    clearInterval(touch);
  }
}

async function pushUntilDone(spec: Omit<PushSpec, 'version'>): Promise<void> {
  const arrived = new Set<string>();
  let failures = 0;
  for (;;) {
    const before = arrived.size;
    let present = 0;
    try {
      const url = await pushFolder(spec, ({ name, sent }) => {
        if (!sent) present++;
        else if (!arrived.has(name)) console.log(`${name}: uploaded (${arrived.add(name).size})`);
      });
      const there = present > 0 ? `${filesOf(present)} already there` : '';
      console.log(
        `${url}: ${[arrived.size > 0 ? `${filesOf(arrived.size)} in one commit` : 'nothing to do', there].filter(Boolean).join(', ')}`,
      );
      return;
    } catch (error) {
      if (!(error instanceof BackspinError) || error.type !== 'Down') throw error;
      failures = arrived.size > before ? 1 : failures + 1;
      if (failures === MOST_FAILURES)
        throw new BackspinError('Down', `${error.message} The same command goes on where this one ended.`, { cause: error });
      const pause = FIRST_PAUSE * 2 ** (failures - 1);
      console.error(`${error.message} Again in ${pause / 1000} s.`);
      await delay(pause);
    }
  }
}

const filesOf = (count: number): string => `${count} ${count === 1 ? 'file' : 'files'}`;
