/** A supervised training, embedding or scoring: adopted or started, its event file followed, asked to stop, started again from its checkpoint. */
import { open, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { parseEvent, verbOf, type SubprocessSpec, type TrainEvent } from '../schemas/trainer.ts';
import { abortable } from './abortable.ts';
import type { Child } from './child.ts';
import { Crashes, described, meaningOf } from './exits.ts';
import { trainerEnvironment } from './python.ts';
import type { Slot, Task } from './slot.ts';

export interface TrainOptions {
  readonly slot: Slot;
  readonly key: string;
  readonly attempt: number;
  /** Its folder `run` exists and is the same for every attempt. */
  readonly spec: SubprocessSpec;
  readonly python: string;
  /** Folder of the Python package. */
  readonly trainerPath: string;
  readonly lifeline: string;
  readonly signal: AbortSignal;
  /** Gets every event of the run from its first, also those of earlier attempts. */
  readonly onEvent?: (event: TrainEvent) => void;
  /** Milliseconds that a trainer may take to stop at a step and write its checkpoint. Default: 60,000. */
  readonly grace?: number;
}

export interface Trained {
  /** Folder of the model, or file of the answers. */
  readonly result: string;
  /** Of the last step. */
  readonly loss: number | null;
  readonly lastLearningRate: number;
  /** Rows that were cut since they were too long. */
  readonly truncated: number;
  /** Of every step once, however often it was interrupted. */
  readonly tokens: number;
  readonly seconds: number;
}

const doings = { train: 'training', embed: 'embedding', score: 'scoring' } as const;
/** Milliseconds between two looks at the event file. */
const LOOK_EVERY = 200;

/**
 * Trains to the end, over crashes of the trainer and of its earlier owners. On abort the trainer stops within a step, with a
 * checkpoint. Throws what its exit code says (ConfigError, SchemaError, DiskFull, Preempted, TrainingDiverged), CrashLoop at the
 * third crash, the signal's reason on abort; nothing runs afterwards.
 */
export async function train(options: TrainOptions): Promise<Trained> {
  const { slot, key, attempt, spec, signal } = options;
  const task: Task = { kind: 'train', key, attempt, folder: spec.run };
  const log = join(spec.run, 'train.log');
  const result = join(spec.run, verbOf(spec) === 'train' ? 'model' : 'answers.jsonl');
  const crashes = new Crashes();
  let checkpoint = 0;
  const events = new Events(join(spec.run, 'events.jsonl'), options.onEvent);
  for (;;) {
    signal.throwIfAborted();
    let child = await slot.claim(task);
    if (!child && (await exists(result))) break;
    if (!child) {
      await events.read();
      events.end = undefined;
      child = await launch(options, task, log);
    }
    const exit = await attend(child, events, options);
    if (exit === 0) break;
    const { code, message } = events.end ?? { code: exit };
    const meaning = meaningOf(code, log, message);
    if (meaning) throw meaning;
    crashes.add(`The ${doings[verbOf(spec)]}`, described(code), log, events.checkpoint > checkpoint);
    checkpoint = events.checkpoint;
  }
  await events.read();
  return { result, ...events.summary() };
}

async function launch({ slot, spec, python, trainerPath, lifeline, signal }: TrainOptions, task: Task, log: string): Promise<Child> {
  const verb = verbOf(spec);
  const file = join(spec.run, `${verb}.json`);
  await rm(join(spec.run, 'stop'), { force: true }); // asked of an earlier one that did not live to hear it
  await writeFile(file, JSON.stringify(spec));
  return slot.launch(task, {
    command: [python, '-m', ...(verb === 'train' ? launcher(slot.devices.length) : []), 'backspin_trainer', verb, '--spec', file],
    env: trainerEnvironment(trainerPath),
    lifeline,
    log,
    signal,
  });
}

/** Of several devices each has a process. All that the user's own settings of `accelerate` could change is said. */
const launcher = (devices: number): string[] =>
  devices > 1
    ? `accelerate.commands.launch --multi_gpu --num_processes ${devices} --num_machines 1 --mixed_precision no --dynamo_backend no --main_process_port 0 --module`.split(
        ' ',
      )
    : [];

/** Follows the child to its end and gives its exit code. On abort asks it to stop, then stops it, and throws. */
async function attend(child: Child, events: Events, { slot, spec, signal, grace = 60_000 }: TrainOptions): Promise<number | null> {
  const gone = new AbortController();
  void child.exited.then(() => gone.abort());
  try {
    const ended = AbortSignal.any([signal, gone.signal]);
    while (!ended.aborted) {
      await events.read();
      await delay(LOOK_EVERY, undefined, { signal: ended }).catch(() => {});
    }
    if (!gone.signal.aborted) {
      await writeFile(join(spec.run, 'stop'), '');
      await abortable(child.exited, AbortSignal.timeout(grace)).catch(() => {});
    }
    signal.throwIfAborted();
    const code = await child.exited;
    await events.read(); // what others of its processes say when they are stopped with it is not how it ended
    return code;
  } finally {
    await slot.stop(child);
  }
}

/** The event file, read as it grows. A line that a killed trainer tore is passed over: it says its steps again. */
class Events {
  readonly #path: string;
  readonly #tell: ((event: TrainEvent) => void) | undefined;
  readonly #steps = new Map<number, Extract<TrainEvent, { event: 'step' }>>();
  /** How the trainer says that it ended. Of several processes only the first says it: the code of their launcher tells nothing. */
  end: { readonly code: number; readonly message: string } | undefined;
  /** The step of the newest; 0: there is none. */
  checkpoint = 0;
  #truncated = 0;
  #offset = 0;
  #rest = Buffer.alloc(0);

  constructor(path: string, tell?: (event: TrainEvent) => void) {
    this.#path = path;
    this.#tell = tell;
  }

  /** Tells of what was appended since the last call. */
  async read(): Promise<void> {
    const bytes = await appended(this.#path, this.#offset);
    this.#offset += bytes.length;
    const buffer = Buffer.concat([this.#rest, bytes]);
    const end = buffer.lastIndexOf(0x0a) + 1;
    this.#rest = buffer.subarray(end);
    for (const line of buffer.toString('utf8', 0, end).split('\n')) {
      const event = parseEvent(line);
      if (!event) continue;
      if (event.event === 'step') this.#steps.set(event.step, event);
      if (event.event === 'checkpoint') this.checkpoint = event.step;
      if (event.event === 'start') [this.end, this.#truncated] = [undefined, event.truncated];
      if (event.event === 'error') this.end = event;
      if (event.event === 'stopped') this.end = { code: 75, message: `The training was told to stop, and did at step ${event.step}.` };
      this.#tell?.(event);
    }
  }

  summary(): Omit<Trained, 'result'> {
    const steps = [...this.#steps.values()].sort((a, b) => a.step - b.step);
    const last = steps.at(-1);
    const sum = (of: 'tokens' | 'seconds') => steps.reduce((total, step) => total + step[of], 0);
    return {
      loss: last?.loss ?? null,
      lastLearningRate: last?.learningRate ?? 0,
      truncated: this.#truncated,
      tokens: sum('tokens'),
      seconds: sum('seconds'),
    };
  }
}

async function appended(path: string, from: number): Promise<Buffer> {
  if (!(await exists(path))) return Buffer.alloc(0);
  await using file = await open(path);
  const { size } = await file.stat();
  const { buffer, bytesRead } = await file.read(Buffer.alloc(size - from), 0, size - from, from);
  return buffer.subarray(0, bytesRead);
}

const exists = (path: string): Promise<boolean> =>
  stat(path).then(
    () => true,
    () => false,
  );
