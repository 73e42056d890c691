/** Each fault, done to a running miniature. */
import { spawnSync } from 'node:child_process';
import { appendFileSync, closeSync, globSync, openSync, rmSync, statSync, truncateSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { disturb, injectFault, sendSignal, type Recovery } from '../../cli/chaos/disturb.ts';
import { BackspinError } from '../../schemas/errors.ts';
import { parts, type PartName } from '../../cli/chaos/parts.ts';
import type { Miniature } from '../support/miniature.ts';
import { make, spoilt, type Trouble } from '../support/trouble.ts';
import type { Cell } from './matrix.ts';

/** Milliseconds. */
const REFUSES_FOR = 3_000;
const MET_WITHIN = 300_000;
/** Requests that meet a trouble: more than are in flight, fewer than an evaluation has. */
const SPOILT = 4;

/** Does it, and gives how long the miniature took to go on; null for what is bad all the time. */
export async function inflict(miniature: Miniature, { part, phase, fault }: Cell, stepKey: string): Promise<Recovery | null> {
  switch (fault) {
    case 'SIGKILL':
    case 'SIGTERM':
    case 'SIGSTOP':
      if (phase !== 'paused') return injectFault(miniature, part as PartName, fault, stepKey);
      await miniature.run('pause', miniature.name);
      await miniature.until(() => miniature.slot(stepKey) === undefined, MET_WITHIN, 'a paused experiment gives its devices back');
      return injectFault(miniature, part as PartName, fault, stepKey, async () => {
        await miniature.until(async () => (await miniature.status()).state === 'paused', MET_WITHIN, 'it is still paused');
        await miniature.run('resume', miniature.name);
      });
    case '400 poison':
    case '500 for one record':
      return null;
    case 'refuses to start':
      return refused(miniature, stepKey);
    case 'files change':
      return changed(miniature, part as PartName, stepKey);
    case 'upgrade':
      return disturb(miniature, stepKey, {
        async inject() {
          await miniature.run('down');
          miniature.changeFiles();
          await miniature.up(); // with another bundle, which takes its time to be made
        },
      });
    case 'disk full':
      return disturb(miniature, stepKey, { inject: () => full(miniature) });
    case 'half-written file':
      return torn(miniature, stepKey);
    case 'empty files':
      return emptied(miniature, stepKey);
    case 'second host':
      return disturb(miniature, stepKey, { inject: () => secondHost(miniature) });
    default:
      return disturb(miniature, stepKey, { inject: () => bad(miniature, fault, stepKey) });
  }
}

/** Gives trouble until enough requests have met it; a black hole, until somebody has noticed. */
async function bad(miniature: Miniature, trouble: Trouble, stepKey: string): Promise<void> {
  const { home } = miniature;
  const before = spoilt(home);
  const marker = miniature.slot(stepKey)?.marker;
  make(home, { trouble, poisoned: [] });
  const met = () => (trouble === 'black hole' ? miniature.slot(stepKey)?.marker !== marker : spoilt(home) >= before + SPOILT);
  if (trouble === 'connection refused') await delay(REFUSES_FOR);
  else await miniature.until(met, MET_WITHIN, `requests meet trouble: ${trouble}`);
  make(home, { trouble: null, poisoned: [] });
}

/** New code under a running `up`; then workers of both kinds die, this one first. All go on as they were started. */
async function changed(miniature: Miniature, first: PartName, stepKey: string): Promise<Recovery> {
  miniature.changeFiles();
  const recovery = await injectFault(miniature, first, 'SIGKILL', stepKey);
  const second = first === 'orchestrator' ? parts['data worker'] : parts.orchestrator;
  const returns = second.returns(miniature, stepKey);
  sendSignal(
    second.processes(miniature, stepKey).map(({ pid }) => pid),
    'SIGKILL',
  );
  await miniature.until(returns, MET_WITHIN, 'the second is back');
  return recovery;
}

/** The step's server dies, and the next refuses to start until a person has read why, mended it, and said so. */
async function refused(miniature: Miniature, stepKey: string): Promise<Recovery> {
  const { processes, returns } = parts['model server'];
  const pids = processes(miniature, stepKey).map(({ pid }) => pid);
  if (pids.length === 0) throw new BackspinError('NotFound', `No model server runs in ${miniature.home} at this moment.`);
  const refuses = 'There is no room for the model: give it some.';
  /** Paths of the steps that stand for that: others may want a server too. */
  const standing = async () =>
    (await miniature.status()).attention.filter(({ reason }) => reason.includes(refuses)).map(({ path }) => path);
  return disturb(miniature, stepKey, {
    async inject() {
      make(miniature.home, { trouble: null, poisoned: [], refuses });
      sendSignal(pids, 'SIGKILL');
      const { path } = (await miniature.status()).steps.find((step) => step.stepKey === stepKey)!;
      await poll(
        async () => miniature.committed(stepKey) || (await standing()).includes(path),
        `${path} stands at attention with the sentence`,
      );
      if (!miniature.committed(stepKey)) return;
      make(miniature.home, { trouble: null, poisoned: [] });
      throw new BackspinError('NotFound', `${path} was over before its server was missed.`);
    },
    async repair() {
      make(miniature.home, { trouble: null, poisoned: [] });
      const retried = async () => {
        for (const one of await standing()) await miniature.run('retry-step', miniature.name, one);
        return miniature.record.attention.length === 0;
      };
      await poll(retried, 'the store knows that nothing waits for a person');
    },
    isBack: returns(miniature, stepKey),
  });
}

/** Beside `Miniature.until`, for which attention is a failure. */
async function poll(what: () => boolean | Promise<boolean>, hope: string): Promise<void> {
  for (const end = Date.now() + MET_WITHIN; !(await what()); await delay(100))
    if (Date.now() > end) throw new Error(`not in time: ${hope}`);
}

/** Fills the disk until an activity has failed for it. */
async function full(miniature: Miniature): Promise<void> {
  const ballast = join(miniature.home, 'store/ballast');
  fill(ballast);
  await miniature.until(async () => (await miniature.failures()).includes('DiskFull'), MET_WITHIN, 'a full disk is told of');
  rmSync(ballast);
}
function fill(path: string): void {
  const file = openSync(path, 'w');
  const zeros = Buffer.alloc(1 << 20);
  try {
    for (;;) writeSync(file, zeros);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error;
  } finally {
    closeSync(file);
  }
}

/** As a power failure leaves files that were being written: everything dies, and what was appended or not yet sealed has lost its end. */
function torn(miniature: Miniature, stepKey: string): Promise<Recovery> {
  const { processes, returns } = parts['everything at once'];
  const work = (pattern: string) => globSync(join(miniature.home, 'store/work', stepKey, pattern));
  return disturb(miniature, stepKey, {
    async inject() {
      sendSignal([...processes(miniature).map(({ pid }) => pid), miniature.current.pid], 'SIGKILL');
      await miniature.until(() => miniature.empty, MET_WITHIN, 'everything has ended');
      for (const path of work('{batches/*/*.jsonl,run/events.jsonl}')) appendFileSync(path, '{"r":"half a li');
      const [checkpoint] = work('run/checkpoints/*/model.safetensors').toSorted().toReversed();
      if (checkpoint !== undefined) truncateSync(checkpoint, statSync(checkpoint).size / 2);
      for (const folder of [...work('batches/*'), join(miniature.home, 'store/tmp')])
        writeFileSync(join(folder, '.half.1.00000000.tmp'), '{"hal');
    },
    repair: () => miniature.up(),
    isBack: returns(miniature, stepKey),
  });
}

/** As a power failure leaves files whose bytes had not reached the disk when their names had: everything dies, and what says how things
 *  stand is empty. */
function emptied(miniature: Miniature, stepKey: string): Promise<Recovery> {
  const { processes, returns } = parts['everything at once'];
  const names = 'up.json,temporal.version,host.json,devices/*.json,store/experiments/**/*.json';
  return disturb(miniature, stepKey, {
    async inject() {
      sendSignal([...processes(miniature).map(({ pid }) => pid), miniature.current.pid], 'SIGKILL');
      await miniature.until(() => miniature.empty, MET_WITHIN, 'everything has ended');
      for (const path of globSync(`${miniature.home}/{${names}}`)) truncateSync(path);
    },
    async repair() {
      await miniature.up();
      // `up` writes the record again from what the workflow says; where that took too long, whoever reads it does
      const answers = async () => {
        try {
          return miniature.record.name === miniature.name;
        } catch {
          return miniature.status().then(
            () => true,
            () => false,
          );
        }
      };
      await poll(answers, 'status answers');
    },
    isBack: returns(miniature, stepKey),
  });
}

/** Another machine has the home on its disk too: `up` and `down` there are refused, and nothing here feels it. */
async function secondHost(miniature: Miniature): Promise<void> {
  const id = join(miniature.home, 'machine-id-of-the-second');
  writeFileSync(id, `${'0123456789abcdef'.repeat(2)}\n`);
  const disguise = 'echo second > /proc/sys/kernel/hostname; mount --bind "$0" /etc/machine-id; exec "$@"';
  const there = 'unshare --mount --uts --net --pid --fork --mount-proc sh -c'.split(' ');
  for (const verb of ['up', 'down']) {
    const env = { ...process.env, BACKSPIN_HOME: miniature.home };
    const { status, stderr } = spawnSync(there[0]!, [...there.slice(1), disguise, id, process.execPath, miniature.script, verb], {
      env,
      encoding: 'utf8',
    });
    if (status !== 1 || !stderr.includes('two hosts cannot share a home')) throw new Error(`${verb} on a second host: ${status} ${stderr}`);
  }
  rmSync(id);
}
