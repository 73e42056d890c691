/** Reads the progress of running steps from the files that workers append to: a map's journals, and the event files of subprocesses that
 *  train, embed or score. */
import { globSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { JournalCounter } from '../steps/counter.ts';
import type { Step } from '../schemas/experiment.ts';
import type { Output } from '../schemas/store.ts';
import { addUses, type TokenUses } from '../schemas/steps.ts';
import { parseEvent, type StepEvent } from '../schemas/trainer.ts';
import { SpikeDetector } from '../steps/curve.ts';
import { linesFrom } from '../store/files.ts';
import type { Store } from '../store/store.ts';

export interface Live {
  /** Records finished, or optimizer steps done. */
  readonly done: number;
  /** null if not known. */
  readonly of: number | null;
  readonly loss?: number;
  /** Of the last steps, the newest last. */
  readonly losses?: readonly number[];
  /** Of the held-out rows, as last measured. */
  readonly validationLoss?: number;
  /** The steps whose loss jumped. */
  readonly spikes?: readonly number[];
  /** Requests and tokens so far, by digest of the model. */
  readonly uses?: TokenUses;
}

/** Losses that `Live` holds. */
const LAST_LOSSES = 16;

/** Remembers its position in each file, so that a poll reads only new lines. */
export class LiveCounts {
  readonly #counters = new Map<string, JournalCounter>();
  readonly #outputs = new Map<string, Output>();
  readonly #eventFiles = new Map<string, { offset: number; live: Live; detector: SpikeDetector }>();

  async of(store: Work, kind: Step['kind'], stepKey: string): Promise<Live | undefined> {
    return (
      this.#events(await eventFileOf(store, stepKey)) ??
      (kind === 'map' || kind === 'evaluate' ? this.#records(store.work(stepKey)) : undefined)
    );
  }

  /** Caches a step's output, which never changes. */
  async output(store: Pick<Store, 'output'>, stepKey: string): Promise<Output | undefined> {
    const output = this.#outputs.get(stepKey) ?? (await store.output(stepKey));
    if (output) this.#outputs.set(stepKey, output);
    return output;
  }

  async #records(folder: string): Promise<Live | undefined> {
    const { in: of, start, models = {} } = readWork(folder);
    const batches = join(folder, 'batches', start);
    const counter = this.#counters.get(batches) ?? new JournalCounter(batches);
    this.#counters.set(batches, counter);
    if (!(await counter.look())) return undefined;
    const uses = Object.entries(counter.uses).reduce<TokenUses>((sum, [role, use]) => addUses(sum, { [models[role] ?? role]: use }), {});
    return { done: counter.records, of, uses };
  }

  #events(path: string): Live | undefined {
    const before = this.#eventFiles.get(path) ?? { offset: 0, live: { done: 0, of: null }, detector: new SpikeDetector() };
    const { lines, end } = linesFrom(path, before.offset);
    let { live, detector } = before;
    for (const line of lines) {
      const event = parseEvent(line);
      if (event?.event === 'start') [live, detector] = [{ done: event.resumedFrom ?? 0, of: event.steps }, new SpikeDetector()];
      if (event?.event === 'checkpoint') live = { ...live, done: Math.max(live.done, event.step) };
      if (event?.event === 'step') live = withStep(live, event, detector);
      if (event?.event === 'evaluation') live = { ...live, validationLoss: event.loss };
    }
    this.#eventFiles.set(path, { offset: end, live, detector });
    return end === 0 ? undefined : live;
  }
}

function withStep(live: Live, { step, loss }: StepEvent, detector: SpikeDetector): Live {
  detector.add(step, loss);
  const losses = [...(live.losses ?? []), loss].slice(-LAST_LOSSES);
  return { ...live, done: step, loss, losses, ...(detector.steps.length > 0 && { spikes: detector.steps }) };
}

type Work = Pick<Store, 'work'> & Partial<Pick<Store, 'shared'>>;

/** The newest event file of a step: that of this host's subprocess, or of another host's, which has its name behind an @. */
export async function eventFileOf(store: Work, stepKey: string): Promise<string> {
  const folder = store.work(stepKey);
  await store.shared?.pullNow(folder).catch(() => {}); // the store is away: show what is here
  const run = join(folder, 'run');
  const files = globSync(join(run, 'events.jsonl*')).map((path) => ({ path, at: statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0 }));
  return files.toSorted((a, b) => b.at - a.at)[0]?.path ?? join(run, 'events.jsonl');
}

/** Reads the number of input records and the folder of the batches, which the worker writes when it opens a step. */
function readWork(folder: string): {
  readonly in: number | null;
  readonly start: string;
  readonly models?: Readonly<Record<string, string>>;
} {
  try {
    return JSON.parse(readFileSync(join(folder, 'work.json'), 'utf8')) as ReturnType<typeof readWork>;
  } catch {
    return { in: null, start: '' };
  }
}
