/** A miniature of the demo, run by the real command with all its real parts in a home of its own; and how far it is, from its files. */
import { existsSync, globSync, mkdtempSync, readdirSync, readFileSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { Up } from '../../cli/home.ts';
import type { View } from '../../cli/view.ts';
import { ready, slotRecord } from '../../schemas/devices.ts';
import { experimentRecord } from '../../schemas/experiment.ts';
import { pathsOf } from '../../store/paths.ts';
import { backspin } from '../cli/cli.ts';

const FILE = join(import.meta.dirname, 'miniature.yaml');
const NAME = 'miniature';
/** As in `activities/gpu.ts`: a quarter more than the `slots` of the file. */
export const IN_FLIGHT = 3;
const LOOK_EVERY = 10;

/** Lines of each journal and event file, and the outputs: what grows is progress. */
export type Progress = ReadonlyMap<string, number>;
export const hasGrown = (before: Progress, now: Progress): boolean =>
  now.entries().some(([path, lines]) => lines > (before.get(path) ?? 0));

export class Miniature {
  readonly home = realpathSync(mkdtempSync(join(tmpdir(), 'backspin-miniature-')));
  readonly #store = pathsOf(join(this.home, 'store'));
  /** The last text seen of every journal; they go when their step is committed. */
  readonly #journals = new Map<string, string>();

  readonly #file: string;
  readonly #name: string;

  /** Another experiment can take its place: the demo itself, say. */
  constructor(file = FILE, name = NAME) {
    this.#file = file;
    this.#name = name;
  }

  /** Two device groups, so that what is independent starts at once. */
  up = (): Promise<void> => this.#run('up', '--detach', '--pool', 'cpu=2').then(() => {});
  down = (): Promise<void> => this.#run('down').then(() => {});
  launch = (): Promise<void> => this.#run('launch', this.#file).then(() => {});
  remove = (): void => rmSync(this.home, { recursive: true });
  /** Another verb on it, such as resume. */
  say = (verb: string): Promise<void> => this.#run(verb, this.#name).then(() => {});
  status = async (): Promise<View> => JSON.parse(await this.#run('status', this.#name, '--json')) as View;

  async #run(...args: string[]): Promise<string> {
    const { code, stdout, stderr } = await backspin(this.home, args);
    if (code !== 0) throw new Error(`backspin ${args.join(' ')}: exit code ${code}\n${stdout}${stderr}`);
    return stdout;
  }

  /** Waits until `what` holds. Throws when the experiment stands at attention or has failed: nobody is there to help it. */
  async until(what: () => boolean | Promise<boolean>, within: number, hope: string): Promise<void> {
    for (const end = performance.now() + within; ; await delay(LOOK_EVERY)) {
      for (const path of this.#files('slices/*.jsonl')) this.#journals.set(path, textOf(path) || (this.#journals.get(path) ?? ''));
      if (await what()) return;
      const { state, attention, failure } = this.record;
      if (state === 'attention' || state === 'failed')
        throw new Error(`${state} in ${this.home}: ${failure ?? attention.map(({ path, reason }) => `${path}: ${reason}`).join('; ')}`);
      if (performance.now() > end) throw new Error(`not within ${within / 1000} s in ${this.home}: ${hope}`);
    }
  }
  finished = (within: number): Promise<void> => this.until(() => this.record.state === 'completed', within, 'the experiment is completed');

  /** As the store has it: a state of the past while the experiment runs, the truth at its end. */
  get record() {
    return experimentRecord.parse(JSON.parse(readFileSync(this.#store.experiment(this.#name), 'utf8')));
  }
  get current(): Up {
    return JSON.parse(readFileSync(join(this.home, 'up.json'), 'utf8')) as Up;
  }

  progress(): Progress {
    const counts = [...this.#files('slices/*.jsonl'), ...this.#files('run/events.jsonl')].map(
      (path) => [path, stepsOrLines(textOf(path))] as const,
    );
    return new Map([...counts, ...globSync(join(this.#store.folders.outputs, '*/*.json')).map((path) => [path, 1] as const)]);
  }
  /** Records that a map has journaled, or optimizer steps that a training tells of. */
  done(stepKey: string): number {
    const paths = globSync(join(this.#store.work(stepKey), '{slices/*.jsonl,run/events.jsonl}'));
    return paths.reduce((sum, path) => sum + matches(textOf(path), /"done":|"event": ?"step"/g), 0);
  }
  committed = (stepKey: string): boolean => existsSync(this.#store.output(stepKey));
  trainerStarts = (): number => this.#files('run/events.jsonl').reduce((sum, path) => sum + matches(textOf(path), /"event": ?"start"/g), 0);
  #files = (pattern: string) => globSync(join(this.#store.folders.work, '*', pattern));

  #slot(stepKey: string) {
    const texts = globSync(join(this.home, 'devices', '*.json'))
      .map(textOf)
      .filter(Boolean);
    return texts.map((text) => slotRecord.parse(JSON.parse(text))).find(({ key }) => key === `serve.${stepKey}`);
  }
  /** Marker of the child that serves a step; undefined when none is on a device. */
  marker = (stepKey: string): string | undefined => this.#slot(stepKey)?.marker;
  /** The process that serves a step, once it answers. */
  server(stepKey: string): number | undefined {
    const slot = this.#slot(stepKey);
    const text = slot ? textOf(join(slot.folder, 'ready.json')) : '';
    return text === '' ? undefined : ready.parse(JSON.parse(text)).pid;
  }
  /** Starts of a worker so far. */
  starts = (log: string): number => matches(textOf(join(this.home, 'logs', log)), /\{"ready":true\}/g);

  /** Journal entries that are there twice, of all journals as they were last seen. */
  doubles(): string[] {
    return [...this.#journals.values()].flatMap((text) => {
      const whole = text
        .slice(0, text.lastIndexOf('\n') + 1)
        .split('\n')
        .slice(0, -1);
      const names = whole.map((line) => JSON.parse(line) as { r: string; n?: number }).map(({ r, n }) => `${r} ${n ?? 'done'}`);
      return names.filter((name, index) => names.indexOf(name) < index);
    });
  }
  /** How often each request was answered, by step (the first 16 characters of its key) and request. */
  answered(): Map<string, Map<string, number>> {
    const lines = globSync(join(this.home, 'serve/*/access.jsonl')).flatMap((path) => textOf(path).split('\n').filter(Boolean));
    const asked = lines.map((line) => JSON.parse(line) as { id: string; path: string });
    const ids = asked.filter(({ id, path }) => !id.startsWith('probe/') && path !== '/tokenize').map(({ id }) => id);
    const counts = (all: readonly string[]) => new Map([...Map.groupBy(all, String)].map(([id, same]) => [id, same.length]));
    return new Map([...Map.groupBy(ids, (id) => id.split('/')[0]!)].map(([step, all]) => [step, counts(all)]));
  }

  /** Every process that this home has started, but for `up` itself. */
  processes(): { readonly pid: number; readonly words: readonly string[] }[] {
    const pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name));
    return pids
      .filter((pid) => textOf(`/proc/${pid}/environ`).includes(`BACKSPIN_LIFELINE=${this.home}/lifeline\0`))
      .map((pid) => ({ pid: Number(pid), words: textOf(`/proc/${pid}/cmdline`).split('\0') }));
  }
}

const matches = (text: string, what: RegExp): number => text.match(what)?.length ?? 0;
/** Of an event file only the steps. */
const stepsOrLines = (text: string): number => (text.includes('"event"') ? matches(text, /"event": ?"step"/g) : matches(text, /\n/g));

/** Empty where there is no such file, or no longer. */
function textOf(path: string): string {
  try {
    return readFileSync(path, 'latin1');
  } catch {
    return '';
  }
}
