/** `backspin gc`: writes a plan of the files that no experiment needs; `--apply PLAN` removes those that are still unneeded. Needs no
 *  server. */
import { readFileSync } from 'node:fs';
import { BackspinError } from '../schemas/errors.ts';
import type { ExperimentRecord } from '../schemas/experiment.ts';
import { faultOf } from '../schemas/faults.ts';
import { gcPlan, type GcPlan } from '../schemas/store.ts';
import { writeAtomic } from '../store/files.ts';
import { applyGc, planGc, type Swept } from '../store/gc.ts';
import { currentProgress, withTemporal } from '../experiments/current.ts';
import { currentUp, inHome } from '../host/home.ts';
import { openHome } from '../host/home-store.ts';
import { openExperiments } from '../experiments/record.ts';
import { readOrRestore } from '../experiments/restore.ts';
import type { Store } from '../store/store.ts';
import { table } from './terminal/text.ts';
import { number, size } from '../schemas/units.ts';

export async function run({ apply }: { apply?: string }): Promise<void> {
  const store = await openHome();
  if (apply !== undefined) {
    const removed = await applyGc(store, readPlan(apply));
    return console.log(`Removed ${number(removed.length)} files and folders, ${size(bytesOf(removed))}.`);
  }
  for (const name of await store.experimentNames()) await readOrRestore(store, name);
  const gone = await closeEnded(store);
  const plan = await planGc(store);
  if (plan.open.length > 0)
    console.log(
      `${plan.open.join(', ')} ${plan.open.length === 1 ? 'has' : 'have'} not ended: until then only scratch is listed${currentUp() ? '' : ' (`backspin up` goes on with them)'}.`,
    );
  for (const one of gone) console.log(`${one.name}: ${one.failure}.`);
  if (plan.sweep.length === 0) return console.log(`Nothing in ${store.location} can go.`);
  const file = inHome('gc', `${plan.digest.slice(0, 16)}.json`);
  await writeAtomic(file, `${JSON.stringify(plan, null, 2)}\n`);
  const groups = [...Map.groupBy(plan.sweep, ({ why }) => why)].map(([why, swept]) => [why, swept.length, size(bytesOf(swept))]);
  console.log(
    [table(['why', 'files', 'space'], groups), '', `Each is named in ${file}. To remove them:`, `  backspin gc --apply ${file}`].join('\n'),
  );
}

/** Closes the records of experiments whose workflows ended without updating them; returns the records without a workflow. */
async function closeEnded(store: Store): Promise<ExperimentRecord[]> {
  const open = await openExperiments(store);
  if (open.length === 0) return [];
  return withTemporal(async (temporal, why) => {
    const gone: ExperimentRecord[] = [];
    for (const record of open) {
      const now = await currentProgress(temporal, why, record);
      if (now.gone) gone.push(now.record);
      else if (!now.open && now.stale === null) {
        await store.putExperiment({ ...now.record, updated: new Date().toISOString() });
        console.log(`${record.name} had ended (${now.record.failure ?? now.record.state}), and its record is closed now.`);
      }
    }
    return gone;
  });
}

const bytesOf = (swept: readonly Swept[]) => swept.reduce((sum, { bytes }) => sum + bytes, 0);

function readPlan(file: string): GcPlan {
  let plan: unknown;
  try {
    plan = JSON.parse(readFileSync(file, 'utf8'));
    return gcPlan.parse(plan);
  } catch (error) {
    throw new BackspinError(
      'ConfigError',
      `The plan ${file} cannot be read (${faultOf(error, plan)}): \`backspin gc\` makes one and names its file.`,
      { cause: error },
    );
  }
}
