/** `backspin chaos FILE`: the experiment undisturbed in a home of its own; then in another, with parts hit at moments that a seed draws. */
import { join, resolve } from 'node:path';
import { stream } from '../steps/model-calls.ts';
import { loadRegistry, type Registry } from '../steps/registry.ts';
import { BackspinError } from '../schemas/errors.ts';
import type { Output } from '../schemas/store.ts';
import { openStore } from '../store/local.ts';
import { unequal } from './chaos/compare.ts';
import { hit, type Signal } from './chaos/disturb.ts';
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

/** A step that holds a device, and what it gave undisturbed. */
interface Step extends StepView {
  readonly stepKey: string;
  readonly gave: Output;
  /** What is there. */
  readonly child: Child;
}
type Child = 'trainer' | 'model server';
/** A part is hit when so many percent of a step are done. */
interface Cell {
  readonly part: PartName;
  readonly signal: Signal;
  readonly step: Step;
  readonly percent: number;
}
const always: readonly PartName[] = ['data worker', 'gpu worker', 'orchestrator', 'Temporal server', 'everything at once'];
const signals: readonly Signal[] = ['SIGKILL', 'SIGTERM', 'SIGSTOP'];

/** Milliseconds that a moment is waited for: no step takes so long. */
const PATIENCE = 30 * 86_400_000;

/** Gives 0 where both come to the same end, else 1. */
export async function run(file: string, { set, pool = [], cells: count, seed = Date.now() % 1_000_000 }: Options): Promise<number> {
  const { bound } = await loadExperiment(file, set);
  const registry = await loadRegistry(bound.modules);
  const options: SandboxOptions = { file: resolve(file), name: bound.name, sets: set, pools: pool };
  const calm = await inSandbox(options, 'undisturbed', async (sandbox) => {
    const view = await completed(sandbox);
    return { view, steps: await stepsOf(sandbox, view, registry) };
  });
  const cells = drawn(calm.steps, count, seed);
  return inSandbox(options, `with ${count} faults, drawn with --seed ${seed}`, async (sandbox) => {
    for (const [i, cell] of cells.entries()) console.log(`${i + 1} of ${count}  ${said(cell)}: ${await tried(sandbox, cell)}`);
    const sampled = calm.steps.filter(({ gave }) => !repeats(gave)).map(({ path }) => path);
    if (sampled.length > 0)
      console.log(`Nobody promises the bytes of ${sampled.join(', ')}: they are not compared, nor metrics and result.`);
    const lines = unequal(calm.view, await completed(sandbox), sampled);
    console.log(lines.length === 0 ? 'Both came to the same end.' : ['They differ (undisturbed -> with faults):', ...lines].join('\n  '));
    return lines.length === 0 ? 0 : 1;
  });
}

/** Runs the experiment in a home that is gone afterwards, unless `body` throws. */
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

/** Waits for the end. Throws what `watch` says when it is another than `completed`. */
async function completed(sandbox: Sandbox): Promise<View> {
  await sandbox.run('watch', sandbox.name);
  return sandbox.status();
}

/** In order of their ends. */
async function stepsOf(sandbox: Sandbox, { steps }: View, registry: Registry): Promise<Step[]> {
  const store = await openStore(join(sandbox.home, 'store'));
  const worked = steps.map(async (step): Promise<Step[]> => {
    const gave = step.stepKey === null || step.cached ? undefined : await store.output(step.stepKey);
    const child = gave && childOf(gave, registry);
    return child ? [{ ...step, stepKey: step.stepKey!, gave, child }] : [];
  });
  return (await Promise.all(worked)).flat().toSorted((a, b) => a.gave.made.localeCompare(b.gave.made));
}
function childOf({ verb, operation, requests }: Output, registry: Registry): Child | undefined {
  if (verb === 'train') return 'trainer';
  if (verb === 'reduce' && !operation.includes(':') && registry.reducer(operation).embeds) return 'trainer';
  if (requests > 0) return 'model server';
  return verb === 'map' && registry.operator(operation.split('>')[0]!).scorer ? 'trainer' : undefined; // a batch
}

function drawn(steps: readonly Step[], count: number, seed: number): Cell[] {
  const random = stream(`chaos/${seed}`);
  const one = <T>(of: readonly T[]): T => of[Math.floor(random() * of.length)]!;
  const byPath = steps.toSorted((a, b) => a.path.localeCompare(b.path)); // what runs side by side ends in another order each time
  const cells = Array.from({ length: count }, (): Cell => {
    const step = one(byPath);
    const part = one([...always, step.child] as const);
    return { step, part, signal: one(signals), percent: 10 + Math.floor(80 * random()) };
  });
  return cells.toSorted((a, b) => steps.indexOf(a.step) - steps.indexOf(b.step) || a.percent - b.percent);
}

const said = ({ part, signal, step, percent }: Cell): string => `${part}, ${signal} at ${percent} % of ${step.path}`;

async function tried(sandbox: Sandbox, { part, signal, step, percent }: Cell): Promise<string> {
  const stepKey = repeats(step.gave) ? step.stepKey : await keyOf(sandbox, step.path);
  const over = () => sandbox.committed(stepKey);
  const come = async () => {
    const { done = 0, of = null } = (await sandbox.live(step.kind, stepKey)) ?? {};
    return of !== null && 100 * done >= percent * of;
  };
  await sandbox.until(async () => over() || (await come()), PATIENCE, `${step.path} is so far`);
  if (over()) return 'the step was over before';
  try {
    const { progress } = await hit(sandbox, part, signal, stepKey);
    return `something went on after ${progress.toFixed(1)} s`;
  } catch (error) {
    if (error instanceof BackspinError && error.type === 'NotFound') return 'there was none at that moment';
    throw error;
  }
}

/** Whether its bytes are promised: then its key is that of the undisturbed run, too. */
const repeats = ({ determinism }: Output) => determinism === 'exact' || determinism === 'seeded';
async function keyOf(sandbox: Sandbox, path: string): Promise<string> {
  let key: string | null | undefined;
  await sandbox.until(
    async () => Boolean((key = (await sandbox.status()).steps.find((step) => step.path === path)?.stepKey)),
    PATIENCE,
    `${path} is opened`,
  );
  return key!;
}
