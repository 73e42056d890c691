/** A miniature of the demo in a sandbox, with what its files and its server tell: what has begun, what was journaled, what was asked. */
import { execFileSync, spawnSync } from 'node:child_process';
import { globSync, mkdirSync, mkdtempSync, readFileSync, rmdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { Client, Connection } from '@temporalio/client';
import { Sandbox, type SandboxOptions } from '../../cli/chaos/sandbox.ts';
import { textOf } from '../../host/proc.ts';
import { grantAll } from '../../steps/grants.ts';
import { startOptions } from '../../experiments/start.ts';
import type { View } from '../../experiments/view.ts';
import type { Rec } from '../../recipe/define.ts';
import { contextOf } from '../../recipe/inputs.ts';
import type { Output } from '../../schemas/store.ts';
import { openStore } from '../../store/local.ts';
import { root } from '../cli/cli.ts';
import { changeFiles } from './changed-files.ts';
import { faultyInstallation } from './installation.ts';

/** As in `steps/open.ts`: a quarter more than the `slots` of the file. */
export const IN_FLIGHT = 3;

export interface Setting {
  /** Device groups. With two, what is independent starts at once; with one, serving and training take turns. Default: 2. */
  readonly groups?: 1 | 2;
  /** Model servers stand behind a network that can be made bad. */
  readonly network?: boolean;
  /** It runs from a checkout of its own, whose files may change. */
  readonly own?: boolean;
  /** The store has a disk of its own, of so many megabytes. */
  readonly disk?: number;
  /** Events after which the root continues as new. */
  readonly history?: number;
}

const mounting = (megabytes: number, folder: string): string[] => ['-t', 'tmpfs', '-o', `size=${megabytes}m`, 'none', folder];
/** Whether a disk of its own can be mounted here: that takes root. */
export function canMount(): boolean {
  const folder = mkdtempSync(join(tmpdir(), 'backspin-mount-'));
  const mounted = spawnSync('mount', mounting(1, folder)).status === 0;
  if (mounted) execFileSync('umount', [folder]);
  rmdirSync(folder);
  return mounted;
}

const miniature = { file: join(import.meta.dirname, 'miniature.yaml'), name: 'miniature' };
let installation: string | undefined;

export class Miniature extends Sandbox {
  protected override readonly command: string;
  readonly #setting: Setting;
  readonly #file: string;
  readonly #checkout: string;
  /** The last text seen of every journal; they go when their step is committed. */
  readonly #journals = new Map<string, string>();
  #mounted = false;
  #client: Client | undefined;
  #firstRun: string | undefined;

  /** Another experiment can take its place: the demo itself, say. */
  constructor(setting: Setting = {}, experiment: Pick<SandboxOptions, 'file' | 'name'> = miniature) {
    const checkout = setting.own ? faultyInstallation() : setting.network ? (installation ??= faultyInstallation()) : root;
    const file = join(checkout, relative(root, experiment.file));
    super({ file, name: experiment.name, pools: [`cpu=${setting.groups ?? 2}`], lookEvery: 10, ...(setting.disk && { lowWater: 0 }) });
    this.#setting = setting;
    this.#file = file;
    this.#checkout = checkout;
    this.command = join(checkout, 'cli/backspin.js');
    mkdirSync(this.paths.root);
    if (setting.disk === undefined) return;
    execFileSync('mount', mounting(setting.disk, this.paths.root));
    this.#mounted = true;
  }

  /** The command, for who runs it himself. */
  get script(): string {
    return this.command;
  }
  /** New code in its checkout, as after a `git pull`. */
  changeFiles(): void {
    changeFiles(this.#checkout);
  }
  override async launch(): Promise<void> {
    const { history } = this.#setting;
    if (history !== undefined) {
      const { loadExperiment } = (await import(
        join(this.#checkout, 'experiments/config.ts')
      )) as typeof import('../../experiments/config.ts');
      const { bound, digest } = await loadExperiment(this.#file, [], this.name); // another checkout's modules have other digests
      const store = readFileSync(this.paths.id, 'utf8');
      await grantAll(await openStore(this.paths.root), contextOf(bound));
      const input = { store, config: bound, configDigest: digest, parent: null, pins: {}, historyLimit: history };
      await (await this.#temporal()).workflow.start('experiment', startOptions(input));
    }
    await super.launch(); // attaches
    this.#firstRun = await this.#run();
  }
  override async down(): Promise<void> {
    await this.#client?.connection.close();
    await super.down();
  }
  override remove(): void {
    this.unmount();
    super.remove();
  }
  /** Lets go of the disk, and of what is on it. */
  unmount(): void {
    if (this.#mounted) execFileSync('umount', [this.paths.root]);
    this.#mounted = false;
  }

  protected override look(): void {
    for (const path of this.journals()) this.#journals.set(path, textOf(path) || (this.#journals.get(path) ?? ''));
  }

  /** Whether a worker has begun an activity of this name, two seconds ago at most where it has ended. */
  began(activity: string): boolean {
    return globSync(join(this.home, 'inflight/*/*')).some((path) => path.includes(`~${encodeURIComponent(activity)}~`));
  }
  /** Whether a file of the step's scratch is there. */
  has = (stepKey: string, pattern: string): boolean => globSync(join(this.paths.work(stepKey), pattern)).length > 0;

  /** Whether the root has continued as new since its launch. */
  async continued(): Promise<boolean> {
    return (await this.#run()) !== this.#firstRun;
  }
  async #run(): Promise<string> {
    return (await (await this.#temporal()).workflow.getHandle(this.record.workflowId).describe()).runId;
  }
  /** Types of the errors that activities failed with, of those that are tried again. */
  async failures(): Promise<string[]> {
    const { workflow } = await this.#temporal();
    const types: string[] = [];
    for await (const { workflowId } of workflow.list({ query: 'ExecutionStatus = "Running"' })) {
      const { raw } = await workflow.getHandle(workflowId).describe();
      for (const { lastFailure } of raw.pendingActivities ?? []) types.push(lastFailure?.applicationFailureInfo?.type ?? '');
    }
    return types;
  }
  async #temporal(): Promise<Client> {
    const { address } = this.current;
    this.#client ??= new Client({ connection: await Connection.connect({ address }) });
    return this.#client;
  }

  /** Journal entries that are there twice, of all journals as they were last seen. */
  doubles(): string[] {
    return [...this.#journals.values()].flatMap((text) => {
      const whole = text
        .slice(0, text.lastIndexOf('\n') + 1)
        .split('\n')
        .slice(0, -1);
      const names = whole.map((line) => JSON.parse(line) as { r: string; n?: string }).map(({ r, n }) => `${r} ${n ?? 'done'}`);
      return names.filter((name, index) => names.indexOf(name) < index);
    });
  }
  /** Requests for replies that the server answered. */
  #answers(): string[] {
    const lines = globSync(join(this.home, 'serve/*/access.jsonl')).flatMap((path) => textOf(path).split('\n').filter(Boolean));
    const requests = lines.map((line) => JSON.parse(line) as { id: string; path: string; status: number });
    return requests
      .filter(({ id, path, status }) => !id.startsWith('check/') && path !== '/tokenize' && status === 200)
      .map(({ id }) => id);
  }
  /** For each operator that asked a model: requests that its step counts, that were answered, and answers that were given again. */
  asked(): { readonly counted: number; readonly answered: number; readonly again: number }[] {
    return [...Map.groupBy(this.#answers(), (id) => id.split('/')[0]!)].flatMap(([key, own]) => {
      const [output] = globSync(join(this.paths.folders.outputs, key.slice(0, 2), `${key}*.json`));
      if (output === undefined && this.#setting.own) return []; // new code has another version of it, and of this one nobody asks
      const answered = new Set(own).size;
      return [{ counted: (JSON.parse(textOf(output!)) as Output).requests, answered, again: own.length - answered }];
    });
  }
  /** Records, one of each step's, that a reply was asked for: a text, a pair of another text, a test item. */
  async asking({ steps }: View): Promise<string[]> {
    const step = (path: string) => steps.find((one) => one.path === path)!;
    const pool: Rec<unknown>[] = [];
    for await (const record of (await openStore(this.paths.root)).read({ digest: step('backtranslate').output!.digest })) pool.push(record);
    const items = this.#answers().filter((id) => id.startsWith(step('evaluate-forward').stepKey!.slice(0, 16)));
    return [pool[0]!.from[0]!, pool[1]!.id, items.toSorted()[0]!.split('/')[2]!];
  }
}
