/** An experiment in a home of its own, run by the real command with all its real parts; and how far it is, from its files. */
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
  /** Experiment file, and the name in it. */
  readonly file: string;
  readonly name: string;
  /** As `launch --set` takes them. */
  readonly sets?: readonly string[];
  /** As `up --pool` takes them. */
  readonly pools?: readonly string[];
  /** As `up --low-water` takes it. */
  readonly lowWater?: number;
  /** Milliseconds between two looks. Default: 100. */
  readonly lookEvery?: number;
}

export interface Process {
  readonly pid: number;
  readonly words: readonly string[];
}

/** What has grown is progress: bytes of journals, steps of trainings, outputs. */
export type Progress = ReadonlyMap<string, number>;
export const hasGrown = (before: Progress, now: Progress): boolean => now.entries().some(([path, much]) => much > (before.get(path) ?? 0));

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
    await this.run('up', '--detach', ...each('--pool', pools), ...(lowWater === undefined ? [] : ['--low-water', `${lowWater}`]));
  }
  async down(): Promise<void> {
    await this.run('down');
  }
  async launch(): Promise<void> {
    await this.run('launch', this.#options.file, '--name', this.name, ...each('--set', this.#options.sets));
  }
  async status(): Promise<View> {
    return JSON.parse(await this.run('status', this.name, '--json')) as View;
  }
  remove(): void {
    rmSync(this.home, { recursive: true });
  }

  /** Runs `backspin ARGS` in this home, without what the environment says of other servers, and gives what it prints. */
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

  /** Waits until `what` holds, for so many milliseconds. Throws when the experiment stands at attention or has ended otherwise than
   *  completed: nobody is there to help it. */
  async until(what: () => boolean | Promise<boolean>, within: number, hope: string): Promise<void> {
    for (const end = performance.now() + within; ; await delay(this.#options.lookEvery ?? 100)) {
      this.look();
      if (await what()) return;
      const { state, attention, failure } = this.record;
      if (['attention', 'failed', 'cancelled'].includes(state)) {
        const why = failure ?? attention.map(({ path, reason }) => `${path}: ${reason}`).join('; ');
        throw new BackspinError('Refused', `The experiment is ${state} in ${this.home}: ${why}`);
      }
      if (performance.now() > end) throw new BackspinError('Refused', `Not within ${within / 1000} s in ${this.home}: ${hope}`);
    }
  }
  /** Called at every look of `until`. */
  protected look(): void {}

  /** As the store has it: a state of the past while the experiment runs, the truth at its end. */
  get record(): ExperimentRecord {
    return experimentRecord.parse(JSON.parse(readFileSync(this.paths.experiment(this.name), 'utf8')));
  }
  get completed(): boolean {
    return this.record.state === 'completed';
  }
  /** The `up` that is here, or was last. */
  get current(): Up {
    return JSON.parse(textOf(join(this.home, 'up.json'))) as Up;
  }

  progress(): Progress {
    const { outputs } = this.paths.folders;
    return new Map([
      ...this.journals().map((path) => [path, sizeOf(path)] as const),
      ...this.#eventFiles().map((path) => [path, matches(textOf(path), /"event": ?"step"/g)] as const),
      ...globSync(join(outputs, '*/*.json')).map((path) => [path, 1] as const),
    ]);
  }
  /** How many records of a map are finished, or optimizer steps of a training, and of how many. */
  live = (kind: Step['kind'], stepKey: string): Promise<Live | undefined> => this.#live.of({ work: this.paths.work }, kind, stepKey);
  committed = (stepKey: string): boolean => existsSync(this.paths.output(stepKey));
  protected journals = (): string[] => globSync(join(this.paths.folders.work, '*/batches/*/*.jsonl'));
  #eventFiles = (): string[] => globSync(join(this.paths.folders.work, '*/run/events.jsonl'));

  /** How often a worker has begun to poll, by the beginning of its log's name. */
  polls = (log: string): number =>
    globSync(join(this.home, 'logs', `${log}*.log`)).reduce((sum, path) => sum + matches(textOf(path), /\{"ready":true\}/g), 0);
  /** How often a trainer has begun to train. */
  trainings = (): number => this.#eventFiles().reduce((sum, path) => sum + matches(textOf(path), /"event": ?"start"/g), 0);

  /** What is on the devices. */
  slots(): SlotRecord[] {
    const texts = globSync(join(this.home, 'devices/*.json')).map(textOf).filter(Boolean);
    return texts.map((whole) => slotRecord.parse(JSON.parse(whole)));
  }
  /** The child that works for a step. */
  slot = (stepKey: string): SlotRecord | undefined => this.slots().find(({ key }) => key.includes(stepKey));
  /** Marker of the server of a step, once it has said that it is ready. */
  server(stepKey: string): string | undefined {
    const slot = this.slot(stepKey);
    return slot?.kind === 'serve' && existsSync(join(slot.folder, 'ready.json')) ? slot.marker : undefined;
  }

  /** Every process that this home has started, but for `up` itself and the launchers, whose command lines hold those of their children. */
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

/** On the disk of temporary files. Throws a sentence when there is none. */
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
const each = (option: string, values: readonly string[] = []): string[] => values.flatMap((value) => [option, value]);
const matches = (whole: string, what: RegExp): number => whole.match(what)?.length ?? 0;
const sizeOf = (path: string): number => statSync(path, { throwIfNoEntry: false })?.size ?? 0;
