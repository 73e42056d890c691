/** Runs an experiment in a home of its own with the real command and all real parts, and reads its progress from files. */
import { spawn } from 'node:child_process';
import { existsSync, globSync, mkdtempSync, readFileSync, realpathSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join, resolve } from 'node:path';
import { text } from 'node:stream/consumers';
import { setTimeout as delay } from 'node:timers/promises';
import { slotRecord, type SlotRecord } from '../../schemas/devices.ts';
import { BackspinError } from '../../schemas/errors.ts';
import { experimentRecord, type ExperimentRecord, type Step } from '../../schemas/experiment.ts';
import { pathsOf, type Paths } from '../../store/paths.ts';
import type { Up } from '../../host/home.ts';
import { startedWith, textOf, wordsOf } from '../../host/proc.ts';
import { LiveCounts, type Live } from '../../experiments/live.ts';
import type { View } from '../../experiments/view.ts';

export interface SandboxOptions {
  /** The experiment file, and the experiment's name. */
  readonly file: string;
  readonly name: string;
  /** Values for `launch --set`. */
  readonly sets?: readonly string[];
  /** Values for `up --pool`. */
  readonly pools?: readonly string[];
  /** Value for `up --low-water`. */
  readonly lowWater?: number;
  /** Milliseconds between two polls. Default: 100. */
  readonly pollEvery?: number;
}

export interface Process {
  readonly pid: number;
  readonly words: readonly string[];
}

/** Measures of progress, each of which only grows: bytes of journals, steps of trainings, outputs. */
export type Progress = ReadonlyMap<string, number>;
export const hasProgressed = (before: Progress, now: Progress): boolean =>
  now.entries().some(([path, much]) => much > (before.get(path) ?? 0));

export class Sandbox {
  readonly home = newHome();
  readonly name: string;
  protected readonly paths: Paths = pathsOf(join(this.home, 'store'));
  protected readonly command: string = resolve(import.meta.dirname, '..', 'backspin.js');
  readonly #options: SandboxOptions;
  readonly #live = new LiveCounts();

  constructor(options: SandboxOptions) {
    this.name = options.name;
    this.#options = options;
  }

  async up(): Promise<void> {
    const { pools, lowWater } = this.#options;
    await this.run('up', '--detach', ...repeatOption('--pool', pools), ...(lowWater === undefined ? [] : ['--low-water', `${lowWater}`]));
  }
  async down(): Promise<void> {
    await this.run('down');
  }
  async launch(): Promise<void> {
    await this.run('launch', this.#options.file, '--name', this.name, ...repeatOption('--set', this.#options.sets));
  }
  async status(): Promise<View> {
    return JSON.parse(await this.run('status', this.name, '--json')) as View;
  }
  remove(): void {
    rmSync(this.home, { recursive: true });
  }

  /** Runs `backspin ARGS` in this home, without Temporal settings of the environment, and returns its output. */
  async run(...args: string[]): Promise<string> {
    const others = Object.entries(process.env).filter(([name]) => !name.startsWith('TEMPORAL_'));
    const child = spawn(process.execPath, [this.command, ...args], {
      env: { ...Object.fromEntries(others), BACKSPIN_HOME: this.home, TEMPORAL_CONFIG_FILE: join(this.home, 'no-profile.toml') },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const ended = new Promise<number | null>((done) => child.once('close', done));
    const [stdout, stderr] = await Promise.all([text(child.stdout), text(child.stderr)]);
    const code = await ended;
    if (code !== 0) throw new BackspinError('Refused', `backspin ${args.join(' ')} ended with exit code ${code}:\n${stdout}${stderr}`);
    return stdout;
  }

  /** Waits until `what` holds, at most `within` milliseconds. Throws if the experiment needs attention, fails or is cancelled, because
   *  nobody is there to help. */
  async until(what: () => boolean | Promise<boolean>, within: number, hope: string | (() => string)): Promise<void> {
    for (const end = performance.now() + within; ; await delay(this.#options.pollEvery ?? 100)) {
      this.onPoll();
      if (await what()) return;
      const { state, attention, failure } = this.record;
      if (['attention', 'failed', 'cancelled'].includes(state)) {
        const why = failure ?? attention.map(({ path, reason }) => `${path}: ${reason}`).join('; ');
        throw new BackspinError('Refused', `The experiment is ${state} in ${this.home}: ${why}`);
      }
      if (performance.now() > end) {
        const missing = typeof hope === 'string' ? hope : hope();
        throw new BackspinError('Refused', `Not within ${within / 1000} s in ${this.home}: ${missing}`);
      }
    }
  }
  /** Called at every poll of `until`. */
  protected onPoll(): void {}

  /** The record in the store: it may lag while the experiment runs, and is exact at its end. */
  get record(): ExperimentRecord {
    return experimentRecord.parse(JSON.parse(readFileSync(this.paths.experiment(this.name), 'utf8')));
  }
  get completed(): boolean {
    return this.record.state === 'completed';
  }
  /** The current or the last `up`. */
  get current(): Up {
    return JSON.parse(textOf(join(this.home, 'up.json'))) as Up;
  }

  progress(): Progress {
    const { outputs } = this.paths.folders;
    return new Map([
      ...this.journals().map((path) => [path, sizeOf(path)] as const),
      ...this.#eventFiles().map((path) => [path, countMatches(textOf(path), /"event": ?"step"/g)] as const),
      ...globSync(join(outputs, '*/*.json')).map((path) => [path, 1] as const),
    ]);
  }
  /** Finished records of a map or optimizer steps of a training, and their total. */
  live = (kind: Step['kind'], stepKey: string): Promise<Live | undefined> => this.#live.of({ work: this.paths.work }, kind, stepKey);
  committed = (stepKey: string): boolean => existsSync(this.paths.output(stepKey));
  protected journals = (): string[] => globSync(join(this.paths.folders.work, '*/batches/*/*.jsonl'));
  #eventFiles = (): string[] => globSync(join(this.paths.folders.work, '*/run/events.jsonl'));

  /** How often a worker has started to poll, by the prefix of its log's name. */
  polls = (log: string): number =>
    globSync(join(this.home, 'logs', `${log}*.log`)).reduce((sum, path) => sum + countMatches(textOf(path), /\{"ready":true\}/g), 0);
  /** How often a trainer has started to train. */
  trainings = (): number => this.#eventFiles().reduce((sum, path) => sum + countMatches(textOf(path), /"event": ?"start"/g), 0);

  /** The slot records of all devices. */
  slots(): SlotRecord[] {
    const texts = globSync(join(this.home, 'devices/*.json')).map(textOf).filter(Boolean);
    return texts.map((whole) => slotRecord.parse(JSON.parse(whole)));
  }
  /** The slot whose subprocess works for a step. */
  slot = (stepKey: string): SlotRecord | undefined => this.slots().find(({ key }) => key.includes(stepKey));
  /** The marker of a step's server, once the server is ready. */
  server(stepKey: string): string | undefined {
    const slot = this.slot(stepKey);
    return slot?.kind === 'serve' && existsSync(join(slot.folder, 'ready.json')) ? slot.marker : undefined;
  }

  /** Every process of this home, except `up` itself and the launchers, whose command lines contain those of their subprocesses. */
  processes(): Process[] {
    return this.#all().filter(({ words }) => basename(words[0]!) !== 'sh');
  }
  get empty(): boolean {
    return this.#all().length === 0;
  }
  #all(): Process[] {
    return startedWith(`BACKSPIN_LIFELINE=${this.home}/lifeline\0`).map((pid) => ({ pid, words: wordsOf(pid) }));
  }
}

/** Creates a home in the folder for temporary files. Throws a sentence if that fails. */
function newHome(): string {
  try {
    return realpathSync(mkdtempSync(join(tmpdir(), 'backspin-chaos-')));
  } catch (error) {
    const why = (error as NodeJS.ErrnoException).code;
    throw new BackspinError('ConfigError', `No folder can be made in ${tmpdir()} (${why}): have TMPDIR name one that can be written.`, {
      cause: error,
    });
  }
}
const repeatOption = (option: string, values: readonly string[] = []): string[] => values.flatMap((value) => [option, value]);
const countMatches = (whole: string, what: RegExp): number => whole.match(what)?.length ?? 0;
const sizeOf = (path: string): number => statSync(path, { throwIfNoEntry: false })?.size ?? 0;
