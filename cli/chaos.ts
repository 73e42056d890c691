/** `backspin chaos FILE`: runs the experiment undisturbed in a home of its own, then in another home with random faults from a seed, and
 *  compares the results. */
import { join, resolve } from 'node:path';
import { stream } from '../steps/model-calls.ts';
import { loadRegistry, type Registry } from '../steps/registry.ts';
import { BackspinError } from '../schemas/errors.ts';
import type { Output } from '../schemas/store.ts';
import { openStore } from '../store/local.ts';
import { compareViews } from './chaos/compare.ts';
import { injectFault, type Signal } from './chaos/disturb.ts';
import type { PartName } from './chaos/parts.ts';
import { Sandbox, type SandboxOptions } from './chaos/sandbox.ts';
import { loadExperiment } from '../experiments/config.ts';
import type { StepView, View } from '../experiments/view.ts';

interface Options {
  readonly set: string[];
  readonly pool?: string[];
  readonly cells: number;
  readonly seed?: number;
}

/** A step that uses a device, and its output in the undisturbed run. */
interface Step extends StepView {
  readonly stepKey: string;
  readonly undisturbed: Output;
  /** The process on the device. */
  readonly deviceProcess: DeviceProcess;
}
type DeviceProcess = 'trainer' | 'model server';
/** A fault: the part gets the signal when `percent` of the step are done. */
interface Cell {
  readonly part: PartName;
  readonly signal: Signal;
  readonly step: Step;
  readonly percent: number;
}
const alwaysThere: readonly PartName[] = ['data worker', 'gpu worker', 'orchestrator', 'Temporal server', 'everything at once'];
const signals: readonly Signal[] = ['SIGKILL', 'SIGTERM', 'SIGSTOP'];

/** Milliseconds to wait for a moment; longer than any step takes. */
const PATIENCE = 30 * 86_400_000;

/** Returns exit code 0 if both runs have the same result, else 1. */
export async function run(file: string, { set, pool = [], cells: count, seed = Date.now() % 1_000_000 }: Options): Promise<number> {
  const { bound } = await loadExperiment(file, set);
  const registry = await loadRegistry(bound.modules);
  const options: SandboxOptions = { file: resolve(file), name: bound.name, sets: set, pools: pool };
  const reference = await inSandbox(options, 'undisturbed', async (sandbox) => {
    const view = await waitForCompletion(sandbox);
    return { view, steps: await stepsOf(sandbox, view, registry) };
  });
  const cells = drawCells(reference.steps, count, seed);
  return inSandbox(options, `with ${count} faults, drawn with --seed ${seed}`, async (sandbox) => {
    for (const [i, cell] of cells.entries()) console.log(`${i + 1} of ${count}  ${describeCell(cell)}: ${await runCell(sandbox, cell)}`);
    const sampled = reference.steps.filter(({ undisturbed }) => !isReproducible(undisturbed)).map(({ path }) => path);
    if (sampled.length > 0)
      console.log(`Nobody promises the bytes of ${sampled.join(', ')}: they are not compared, nor metrics and result.`);
    const lines = compareViews(reference.view, await waitForCompletion(sandbox), sampled);
    console.log(lines.length === 0 ? 'Both came to the same end.' : ['They differ (undisturbed -> with faults):', ...lines].join('\n  '));
    return lines.length === 0 ? 0 : 1;
  });
}

/** Runs the experiment in a new home, and removes the home unless `body` throws. */
async function inSandbox<T>(options: SandboxOptions, how: string, body: (sandbox: Sandbox) => Promise<T>): Promise<T> {
  const sandbox = new Sandbox(options);
  console.log(`${options.name} ${how}, in ${sandbox.home}`);
  const stop = () => void sandbox.down().finally(() => process.exit(130));
  process.once('SIGINT', stop);
  try {
    await sandbox.up();
    await sandbox.launch();
    const value = await body(sandbox);
    await sandbox.down();
    if (!sandbox.empty) throw new BackspinError('Refused', `Processes are left over of ${sandbox.home}.`);
    sandbox.remove();
    return value;
  } finally {
    process.off('SIGINT', stop);
    await sandbox.down();
  }
}

/** Waits for the end. Throws the message of `watch` if the experiment does not complete. */
async function waitForCompletion(sandbox: Sandbox): Promise<View> {
  await sandbox.run('watch', sandbox.name);
  return sandbox.status();
}

/** Returns the steps that use a device, in the order in which they ended. */
async function stepsOf(sandbox: Sandbox, { steps }: View, registry: Registry): Promise<Step[]> {
  const store = await openStore(join(sandbox.home, 'store'));
  const worked = steps.map(async (step): Promise<Step[]> => {
    const undisturbed = step.stepKey === null || step.cached ? undefined : await store.output(step.stepKey);
    const deviceProcess = undisturbed && deviceProcessOf(undisturbed, registry);
    return deviceProcess ? [{ ...step, stepKey: step.stepKey!, undisturbed, deviceProcess }] : [];
  });
  return (await Promise.all(worked)).flat().toSorted((a, b) => a.undisturbed.made.localeCompare(b.undisturbed.made));
}
function deviceProcessOf({ verb, operation, requests }: Output, registry: Registry): DeviceProcess | undefined {
  if (verb === 'train') return 'trainer';
  if (verb === 'reduce' && !operation.includes(':') && registry.reducer(operation).embeds) return 'trainer';
  if (requests > 0) return 'model server';
  if (verb !== 'map') return undefined;
  const { scorer, labeler } = registry.operator(operation.split('>')[0]!);
  return scorer || labeler ? 'trainer' : undefined; // computed offline
}

function drawCells(steps: readonly Step[], count: number, seed: number): Cell[] {
  const random = stream(`chaos/${seed}`);
  const one = <T>(of: readonly T[]): T => of[Math.floor(random() * of.length)]!;
  const byPath = steps.toSorted((a, b) => a.path.localeCompare(b.path)); // concurrent steps end in a different order each time
  const cells = Array.from({ length: count }, (): Cell => {
    const step = one(byPath);
    const part = one([...alwaysThere, step.deviceProcess] as const);
    return { step, part, signal: one(signals), percent: 10 + Math.floor(80 * random()) };
  });
  return cells.toSorted((a, b) => steps.indexOf(a.step) - steps.indexOf(b.step) || a.percent - b.percent);
}

const describeCell = ({ part, signal, step, percent }: Cell): string => `${part}, ${signal} at ${percent} % of ${step.path}`;

async function runCell(sandbox: Sandbox, { part, signal, step, percent }: Cell): Promise<string> {
  const stepKey = isReproducible(step.undisturbed) ? step.stepKey : await waitForKey(sandbox, step.path);
  const over = () => sandbox.committed(stepKey);
  const come = async () => {
    const { done = 0, of = null } = (await sandbox.live(step.kind, stepKey)) ?? {};
    return of !== null && 100 * done >= percent * of;
  };
  await sandbox.until(async () => over() || (await come()), PATIENCE, `${step.path} is so far`);
  if (over()) return 'the step was over before';
  try {
    const { progress } = await injectFault(sandbox, part, signal, stepKey);
    return `something went on after ${progress.toFixed(1)} s`;
  } catch (error) {
    if (error instanceof BackspinError && error.type === 'NotFound') return 'there was none at that moment';
    throw error;
  }
}

/** Whether the output is reproducible: then the disturbed run has the same step key. */
const isReproducible = ({ determinism }: Output) => determinism === 'exact' || determinism === 'seeded';
async function waitForKey(sandbox: Sandbox, path: string): Promise<string> {
  let key: string | null | undefined;
  await sandbox.until(
    async () => Boolean((key = (await sandbox.status()).steps.find((step) => step.path === path)?.stepKey)),
    PATIENCE,
    `${path} is opened`,
  );
  return key!;
}
