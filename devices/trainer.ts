/** Supervises a training, embedding, scoring or tagging: adopts or starts it, follows its event file, stops it, and restarts it from its checkpoint.
 */
import { open, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import {
  parseEvent,
  verbOf,
  type Measured,
  type StepEvent,
  type SubprocessSpec,
  type TrainEvent,
  type TrainSpec,
} from '../schemas/trainer.ts';
import type { TrainingCommand } from '../schemas/config.ts';
import { abortable } from './abortable.ts';
import type { Subprocess } from './subprocess.ts';
import { commandLine, takeOutput } from './command.ts';
import { CrashCounter, describeExit, errorOfExit, INTERRUPTED, OUT_OF_MEMORY } from './exits.ts';
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
  /** Trains in place of the trainer. Of its exit codes only 0 and 75 have a meaning; without events it is not watched for progress. */
  readonly command?: TrainingCommand;
  /** Gets every event of the run from the first, including events of earlier attempts. */
  readonly onEvent?: (event: TrainEvent) => void;
  /** Milliseconds that a trainer may take to stop at a step and write its checkpoint. Default: 60,000. */
  readonly grace?: number;
  /** Gets the micro-batch that replaces one that did not fit into memory. */
  readonly onMicroBatch?: (rows: number) => Promise<void>;
  /** Milliseconds without an event after which a trainer counts as hung, unless 20 times its median step is longer. Before its first step it
   *  has six times as long: it loads and reads. Default: 600,000. */
  readonly hangsAfter?: number;
}

export interface Trained {
  /** Folder of the model, or file of the answers. */
  readonly result: string;
  /** Loss of the last step. */
  readonly loss: number | null;
  readonly lastLearningRate: number;
  /** Rows that the trainer truncated because they were too long. */
  readonly truncated: number;
  /** The most micro-batches that made one step. */
  readonly accumulation: number;
  /** Versions, devices and precision of the last start. */
  readonly computing: Readonly<Record<string, unknown>>;
  /** The steps in order; of a repeated one the last. */
  readonly steps: readonly Measured[];
  /** Tokens of all steps. Counts a repeated step once. */
  readonly tokens: number;
  readonly seconds: number;
}

const doings = { train: 'training', embed: 'embedding', score: 'scoring', tag: 'tagging' } as const;
/** Milliseconds between two reads of the event file. */
const LOOK_EVERY = 200;

/**
 * Trains to the end, over crashes of the trainer and of its earlier owners. On abort the trainer stops within a step and writes a
 * checkpoint. A training that runs out of memory goes on with half its micro-batch. A trainer that makes no step is stopped, which counts as
 * a crash. Throws the error of its exit code (ConfigError, SchemaError, DiskFull, Preempted, OutOfMemory, TrainingDiverged), CrashLoop at the
 * third crash, or the signal's reason on abort. Nothing runs afterwards.
 */
export async function train(options: TrainOptions): Promise<Trained> {
  const { slot, key, attempt, signal } = options;
  let { spec } = options;
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
      subprocess = await launch({ ...options, spec }, task, log);
    }
    const exit = await follow(subprocess, events, options);
    if (exit === 0) {
      if (options.command) await takeOutput(spec as TrainSpec);
      break;
    }
    const hung = exit === HUNG;
    const { code, message } = events.end ?? { code: hung ? null : exit };
    const microBatch = code === OUT_OF_MEMORY && 'objective' in spec && Math.floor((events.microBatch ?? 1) / 2);
    if (microBatch) {
      spec = { ...spec, microBatch };
      await options.onMicroBatch?.(microBatch);
      continue;
    }
    const meaning = options.command && code !== INTERRUPTED ? undefined : errorOfExit(code, log, message);
    if (meaning) throw meaning;
    crashes.add(`The ${doings[verbOf(spec)]}`, hung ? 'because it made no step' : describeExit(code), log, events.checkpoint > checkpoint);
    checkpoint = events.checkpoint;
  }
  await events.read();
  return { result, ...events.summary() };
}

async function launch(options: TrainOptions, task: Task, log: string): Promise<Subprocess> {
  const { slot, spec, python, trainerPath, lifeline, signal, command } = options;
  const verb = verbOf(spec);
  const file = join(spec.run, `${verb}.json`);
  await rm(join(spec.run, 'stop'), { force: true }); // a stop file for an earlier trainer that died before it read it
  await writeFile(file, JSON.stringify(spec));
  if (command) return slot.launch(task, { command: await commandLine(command, spec as TrainSpec), env: {}, lifeline, log, signal });
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

/** In place of an exit code. */
const HUNG = -1;

/** Follows the subprocess to its end and returns its exit code. Stops it if it hangs. On abort requests a stop, then stops it, and throws. */
async function follow(
  subprocess: Subprocess,
  events: Events,
  { slot, spec, signal, command, grace = command ? 0 : 60_000, hangsAfter = 600_000 }: TrainOptions,
): Promise<number | null> {
  const exited = new AbortController();
  void subprocess.exited.then(() => exited.abort());
  events.listen();
  try {
    const ended = AbortSignal.any([signal, exited.signal]);
    while (!ended.aborted) {
      await events.read();
      const beforeSteps = command ? Infinity : 6 * hangsAfter;
      if (events.silence() > (events.medianStep === undefined ? beforeSteps : Math.max(hangsAfter, 20 * events.medianStep))) return HUNG;
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
  readonly #steps = new Map<number, Measured>();
  /** How the trainer reported its end. With several processes only the first one reports it; the exit code of their launcher tells nothing.
   */
  end: { readonly code: number; readonly message: string } | undefined;
  /** Step of the newest checkpoint; 0: none. */
  checkpoint = 0;
  /** Rows that a device computes at once. */
  microBatch: number | undefined;
  /** Milliseconds that a step takes, as a median; undefined before the first step of this start. */
  medianStep: number | undefined;
  #heard = performance.now();
  #seconds: number[] = [];
  #accumulation = 1;
  #computing: Trained['computing'] = {};
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
      this.#heard = performance.now();
      if (event.event === 'step') this.#step(event);
      if (event.event === 'evaluation') this.#measured(event);
      if (event.event === 'checkpoint') this.checkpoint = event.step;
      if (event.event === 'start') this.#start(event);
      if (event.event === 'error') this.end = event;
      // If one process runs out of memory, the others are told to stop: their end is not the reason.
      if (event.event === 'stopped' && this.end?.code !== OUT_OF_MEMORY)
        this.end = { code: 75, message: `The training was told to stop, and did at step ${event.step}.` };
      this.#onEvent?.(event);
    }
  }

  /** Begins to wait for events of a subprocess. */
  listen(): void {
    this.#heard = performance.now();
  }

  /** Milliseconds since the last event. */
  silence(): number {
    return performance.now() - this.#heard;
  }

  #start({ truncated, microBatch, accumulation, computing = {} }: Extract<TrainEvent, { event: 'start' }>): void {
    this.end = undefined;
    this.microBatch = microBatch;
    this.#truncated = truncated;
    this.#computing = computing;
    this.#accumulation = Math.max(this.#accumulation, accumulation);
    [this.#seconds, this.medianStep] = [[], undefined];
  }

  #step(event: StepEvent): void {
    this.#steps.set(event.step, event);
    this.#seconds = [...this.#seconds.slice(-50), event.seconds];
    this.medianStep = 1000 * this.#seconds.toSorted((a, b) => a - b)[this.#seconds.length >> 1]!;
  }

  #measured({ step, loss }: Extract<TrainEvent, { event: 'evaluation' }>): void {
    const event = this.#steps.get(step);
    if (event) this.#steps.set(step, { ...event, validationLoss: loss });
  }

  summary(): Omit<Trained, 'result'> {
    const steps = [...this.#steps.values()].sort((a, b) => a.step - b.step);
    const last = steps.at(-1);
    const sum = (of: 'tokens' | 'seconds') => steps.reduce((total, step) => total + step[of], 0);
    return {
      loss: last?.loss ?? null,
      lastLearningRate: last?.learningRate ?? 0,
      truncated: this.#truncated,
      accumulation: this.#accumulation,
      computing: this.#computing,
      steps,
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
