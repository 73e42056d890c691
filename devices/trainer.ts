/** Supervises a training, embedding, scoring or tagging: adopts or starts it, follows its event file, stops it, and restarts it from its checkpoint.
 */
import { open, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { parseEvent, verbOf, type SubprocessSpec, type TrainEvent } from '../schemas/trainer.ts';
import { abortable } from './abortable.ts';
import type { Subprocess } from './subprocess.ts';
import { CrashCounter, describeExit, errorOfExit } from './exits.ts';
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
  /** Gets every event of the run from the first, including events of earlier attempts. */
  readonly onEvent?: (event: TrainEvent) => void;
  /** Milliseconds that a trainer may take to stop at a step and write its checkpoint. Default: 60,000. */
  readonly grace?: number;
}

export interface Trained {
  /** Folder of the model, or file of the answers. */
  readonly result: string;
  /** Loss of the last step. */
  readonly loss: number | null;
  readonly lastLearningRate: number;
  /** Rows that the trainer truncated because they were too long. */
  readonly truncated: number;
  /** Tokens of all steps. Counts a repeated step once. */
  readonly tokens: number;
  readonly seconds: number;
}

const doings = { train: 'training', embed: 'embedding', score: 'scoring', tag: 'tagging' } as const;
/** Milliseconds between two reads of the event file. */
const LOOK_EVERY = 200;

/**
 * Trains to the end, over crashes of the trainer and of its earlier owners. On abort the trainer stops within a step and writes a
 * checkpoint. Throws the error of its exit code (ConfigError, SchemaError, DiskFull, Preempted, TrainingDiverged), CrashLoop at the third
 * crash, or the signal's reason on abort. Nothing runs afterwards.
 */
export async function train(options: TrainOptions): Promise<Trained> {
  const { slot, key, attempt, spec, signal } = options;
  const task: Task = { kind: 'train', key, attempt, folder: spec.run };
  const log = join(spec.run, 'train.log');
  const result = join(spec.run, verbOf(spec) === 'train' ? 'model' : 'answers.jsonl');
  const crashes = new CrashCounter();
  let checkpoint = 0;
  const events = new Events(join(spec.run, 'events.jsonl'), options.onEvent);
  for (;;) {
    signal.throwIfAborted();
    let subprocess = await slot.claim(task);
    if (!subprocess && (await exists(result))) break;
    if (!subprocess) {
      await events.read();
      events.end = undefined;
      subprocess = await launch(options, task, log);
    }
    const exit = await follow(subprocess, events, options);
    if (exit === 0) break;
    const { code, message } = events.end ?? { code: exit };
    const meaning = errorOfExit(code, log, message);
    if (meaning) throw meaning;
    crashes.add(`The ${doings[verbOf(spec)]}`, describeExit(code), log, events.checkpoint > checkpoint);
    checkpoint = events.checkpoint;
  }
  await events.read();
  return { result, ...events.summary() };
}

async function launch({ slot, spec, python, trainerPath, lifeline, signal }: TrainOptions, task: Task, log: string): Promise<Subprocess> {
  const verb = verbOf(spec);
  const file = join(spec.run, `${verb}.json`);
  await rm(join(spec.run, 'stop'), { force: true }); // a stop file for an earlier trainer that died before it read it
  await writeFile(file, JSON.stringify(spec));
  return slot.launch(task, {
    command: [python, '-m', ...(verb === 'train' ? launcher(slot.devices.length) : []), 'backspin_trainer', verb, '--spec', file],
    env: trainerEnvironment(trainerPath),
    lifeline,
    log,
    signal,
  });
}

/** With several devices each has its own process. Passes every option that a user's `accelerate` configuration could change. */
const launcher = (devices: number): string[] =>
  devices > 1
    ? `accelerate.commands.launch --multi_gpu --num_processes ${devices} --num_machines 1 --mixed_precision no --dynamo_backend no --main_process_port 0 --module`.split(
        ' ',
      )
    : [];

/** Follows the subprocess to its end and returns its exit code. On abort requests a stop, then stops it, and throws. */
async function follow(
  subprocess: Subprocess,
  events: Events,
  { slot, spec, signal, grace = 60_000 }: TrainOptions,
): Promise<number | null> {
  const exited = new AbortController();
  void subprocess.exited.then(() => exited.abort());
  try {
    const ended = AbortSignal.any([signal, exited.signal]);
    while (!ended.aborted) {
      await events.read();
      await delay(LOOK_EVERY, undefined, { signal: ended }).catch(() => {});
    }
    if (!exited.signal.aborted) {
      await writeFile(join(spec.run, 'stop'), '');
      await abortable(subprocess.exited, AbortSignal.timeout(grace)).catch(() => {});
    }
    signal.throwIfAborted();
    const code = await subprocess.exited;
    await events.read(); // read now: messages that its other processes write while they are stopped do not explain the exit
    return code;
  } finally {
    await slot.stop(subprocess);
  }
}

/** Reads the event file as it grows. Skips a line that a killed trainer left incomplete: the trainer repeats those steps. */
class Events {
  readonly #path: string;
  readonly #onEvent: ((event: TrainEvent) => void) | undefined;
  readonly #steps = new Map<number, Extract<TrainEvent, { event: 'step' }>>();
  /** How the trainer reported its end. With several processes only the first one reports it; the exit code of their launcher tells nothing.
   */
  end: { readonly code: number; readonly message: string } | undefined;
  /** Step of the newest checkpoint; 0: none. */
  checkpoint = 0;
  #truncated = 0;
  #offset = 0;
  #rest = Buffer.alloc(0);

  constructor(path: string, tell?: (event: TrainEvent) => void) {
    this.#path = path;
    this.#onEvent = tell;
  }

  /** Emits the events that were appended since the last call. */
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
      this.#onEvent?.(event);
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
