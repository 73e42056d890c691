/** `backspin fork NAME --from-round K --name N2`: starts a new experiment that takes the results of rounds up to K from its parent. */
import type { BoundConfig } from '../schemas/config.ts';
import type { Step } from '../schemas/experiment.ts';
import { BackspinError } from '../schemas/errors.ts';
import type { Store } from '../store/store.ts';
import type { ExperimentInput } from '../schemas/messages.ts';
import { number } from '../schemas/units.ts';
import { changedInputs, stepsOf } from '../workflows/pins.ts';
import { rebind } from '../experiments/config.ts';
import { currentRecord } from '../experiments/current.ts';
import { openHome } from '../host/home-store.ts';
import { experimentOf } from '../experiments/record.ts';
import { launch } from './launch.ts';

export async function run(
  parentName: string,
  { fromRound, name, set }: { fromRound: number; name: string; set: string[] },
): Promise<number> {
  const store = await openHome();
  const parent = await currentRecord(await experimentOf(store, parentName));
  if (name === parentName) throw new BackspinError('NameInUse', `A fork needs a name of its own: ${name} is the parent.`);
  const reached = Math.max(0, ...parent.steps.map(({ round }) => round ?? 0));
  if (fromRound > reached)
    throw new BackspinError('NotFound', `${parentName} has reached round ${reached}: fork from that round or an earlier one.`);
  const experiment = await rebind(parent.config as BoundConfig, set, name);
  const changed = changedInputs(parent.config as BoundConfig, experiment.bound);
  for (const input of changed)
    console.log(`${input} is another than that of ${parentName}: what depends on it is made anew, in rounds up to ${fromRound} too.`);
  const pins = await pinsOf(store, pinnedSteps(parent.steps, fromRound, changed));
  refuseTooMany(pins, parentName);
  return launch(store, experiment, { parent: { name: parentName, round: fromRound }, pins }, false);
}

/** Returns the steps whose results a fork takes regardless of its parameters: those of rounds up to `fromRound`, and imports and other
 *  steps before the first round whose data and models have not changed. The store answers for steps after the rounds as usual. */
export function pinnedSteps(steps: readonly Step[], fromRound: number, changed: readonly string[]): Step[] {
  const gone = changed.flatMap(stepsOf);
  const first = steps.findIndex(({ round }) => round !== null);
  return steps.filter(({ path, round }, index) => (round === null ? index < first && !gone.includes(path) : round <= fromRound));
}

/** Characters. Temporal takes at most 2 MB as the input of a workflow. */
const MAX_PINS = 1_500_000;

export function refuseTooMany(pins: ExperimentInput['pins'], parent: string): void {
  if (JSON.stringify(pins).length <= MAX_PINS) return;
  const steps = number(Object.keys(pins).length);
  throw new BackspinError(
    'ConfigError',
    `A fork of ${parent} from this round would take over ${steps} steps, more than the start of a workflow can hold: fork from an earlier round, or launch the changed file, which takes all equal steps from the store.`,
  );
}

async function pinsOf(store: Store, steps: readonly Step[]): Promise<ExperimentInput['pins']> {
  const pins: Record<string, ExperimentInput['pins'][string]> = {};
  for (const { path, result, stepKey } of steps) {
    const output = stepKey === null ? undefined : await store.output(stepKey);
    if (output && result !== null) pins[path] = { entry: { result, stepKey: output.stepKey, cached: true }, inputs: output.inputs };
  }
  return pins;
}
