/** Kills of one part of the miniature with SIGKILL, one in each phase that has this part, and how long it took to go on. */
import { performance } from 'node:perf_hooks';
import { answers } from '../../cli/server.ts';
import type { View } from '../../cli/view.ts';
import { hasGrown, Miniature } from './miniature.ts';

const phases = {
  generate: { step: 'backtranslate', done: 5 },
  judge: { step: 'r1/judge', done: 5 },
  /** Between two checkpoints: these are at 3, 6 and 9. */
  train: { step: 'r1/forward', done: 4 },
  /** As soon as its server answers. */
  evaluate: { step: 'r1/evaluate-forward', done: 0 },
} as const;
export type Phase = keyof typeof phases;

/** Milliseconds, of a machine with much else to do. */
const ENDS_WITHIN = 400_000;
const COMES_WITHIN = 200_000;

type Command = readonly string[];
/** Not the launcher, whose command line holds that of its child. */
const itself = (words: Command) => words[0] !== '/bin/sh';
const worker = (kind: string) => (words: Command) => itself(words) && words.some((word) => word.endsWith(`/workers/${kind}.ts`));
const python = (verb: string) => (words: Command) => itself(words) && words.includes('backspin_trainer') && words.includes(verb);
const everything = () => true;
const nothing = () => false;
const all = Object.keys(phases) as Phase[];

/** What is killed, in which phases, and whether `up` dies too. */
export const parts = {
  'gpu worker': { is: worker('gpu'), log: 'gpu-cpu.log', phases: all, up: false },
  'data worker': { is: worker('data'), log: 'data.log', phases: all, up: false },
  orchestrator: { is: worker('orchestrator'), log: 'orchestrator.log', phases: all, up: false },
  'model server': { is: python('serve'), log: null, phases: ['generate', 'judge', 'evaluate'], up: false },
  trainer: { is: python('train'), log: null, phases: ['train'], up: false },
  'Temporal server': { is: (words: Command) => itself(words) && words.includes('start-dev'), log: null, phases: all, up: false },
  /** Alone: the others end because it did. */
  up: { is: nothing, log: null, phases: all, up: true },
  'everything at once': { is: everything, log: null, phases: all, up: true },
} as const satisfies Record<string, { is: (words: Command) => boolean; log: string | null; phases: readonly Phase[]; up: boolean }>;
export type Part = keyof typeof parts;

/** Seconds. */
export interface Recovery {
  readonly phase: Phase;
  /** From the kill until the part was back: polls, answers, has said that it starts. After `up`: the step's model server or trainer. */
  readonly back: number;
  /** From there to the first journaled record, training step or output; 0 where the others had gone on meanwhile. */
  readonly progress: number;
  /** Of a model server: from the kill until its successor was started, which is not its own start. */
  readonly noticed: number;
  /** Of `up`: from the kill until all that it had started was gone. */
  readonly gone: number;
}

/** Runs a miniature to its end. */
export async function undisturbed(site: Miniature): Promise<void> {
  await site.up();
  await site.launch();
  await site.finished(ENDS_WITHIN);
}

/** Runs a miniature to its end, and kills the part in each of its phases. `reference` tells the keys of the steps. */
export async function disturbed(site: Miniature, part: Part, reference: View): Promise<Recovery[]> {
  await site.up();
  await site.launch();
  const recoveries: Recovery[] = [];
  for (const phase of parts[part].phases) {
    const { step, done } = phases[phase];
    const stepKey = reference.steps.find(({ path }) => path === step)!.stepKey!;
    const reached = () => site.committed(stepKey) || (done === 0 ? site.server(stepKey) !== undefined : site.done(stepKey) >= done);
    await site.until(reached, COMES_WITHIN, `${step} has come so far that the ${part} can be killed`);
    const victims = site.processes().filter(({ words }) => parts[part].is(words));
    if (victims.length === 0 && !parts[part].up) throw new Error(`no ${part} runs in ${site.home} while it does ${step}`);
    if (site.committed(stepKey)) throw new Error(`${step} was over before the ${part} could be killed`);
    recoveries.push({
      phase,
      ...(await kill(
        site,
        part,
        stepKey,
        victims.map(({ pid }) => pid),
      )),
    });
  }
  await site.finished(ENDS_WITHIN);
  return recoveries;
}

async function kill(site: Miniature, part: Part, stepKey: string, victims: readonly number[]): Promise<Omit<Recovery, 'phase'>> {
  const { log, up } = parts[part];
  const { address, pid } = site.current;
  const [marker, server, trainers] = [site.marker(stepKey), site.server(stepKey), site.trainerStarts()];
  const starts = log === null ? 0 : site.starts(log);
  const killed = performance.now();
  for (const victim of up ? [pid, ...victims] : victims) process.kill(victim, 'SIGKILL');
  const since = (time: number) => (time - killed) / 1000;

  if (up) await site.until(() => site.processes().length === 0, 20_000, 'nothing of what `up` had started is left');
  const gone = up ? performance.now() : killed;
  const before = site.progress();
  if (up) await site.up();
  const serves = () => ![undefined, server].includes(site.server(stepKey));
  const trains = () => site.trainerStarts() > trainers;
  const isBack = async () =>
    log !== null
      ? site.starts(log) > starts
      : part === 'model server'
        ? serves()
        : part === 'trainer'
          ? trains()
          : part === 'Temporal server'
            ? answersAt(address)
            : serves() || trains() || site.committed(stepKey);
  let [noticed, back, grown] = [0, 0, 0];
  const turn = async () => {
    if (!noticed && site.marker(stepKey) !== marker) noticed = performance.now();
    if (!grown && hasGrown(before, site.progress())) grown = performance.now();
    if (!back && (await isBack())) back = performance.now();
    return back > 0 && grown > 0;
  };
  await site.until(turn, COMES_WITHIN, `the ${part} is back, and something goes on`);
  return { back: since(back), progress: Math.max(0, grown - back) / 1000, noticed: noticed ? since(noticed) : 0, gone: since(gone) };
}

const answersAt = (address: string): Promise<boolean> =>
  answers({ address }, AbortSignal.timeout(200)).then(
    () => true,
    () => false,
  );
