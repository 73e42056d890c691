/** Runs a miniature of the demo in a sandbox, and reads from its files and its server which activities started, which records were
 *  journaled and which requests were sent. */
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
  /** Device groups. With two, independent steps start at once; with one, serving and training alternate. Default: 2. */
  readonly groups?: 1 | 2;
  /** Whether model servers run behind a network that a test can disturb. */
  readonly network?: boolean;
  /** Whether it runs from a checkout of its own, whose files may change. */
  readonly own?: boolean;
  /** Megabytes of a disk for the store alone. */
  readonly disk?: number;
  /** Number of events after which the root continues as new. */
  readonly history?: number;
}

const mounting = (megabytes: number, folder: string): string[] => ['-t', 'tmpfs', '-o', `size=${megabytes}m`, 'none', folder];
/** Whether a disk can be mounted here, which needs root. */
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
  /** The last text of every journal; a journal is deleted when its step is committed. */
  readonly #journals = new Map<string, string>();
  #mounted = false;
  #client: Client | undefined;
  #firstRun: string | undefined;

  /** Another experiment file, for example the demo. */
  constructor(setting: Setting = {}, experiment: Pick<SandboxOptions, 'file' | 'name'> = miniature) {
    const checkout = setting.own ? faultyInstallation() : setting.network ? (installation ??= faultyInstallation()) : root;
    const file = join(checkout, relative(root, experiment.file));
    super({ file, name: experiment.name, pools: [`cpu=${setting.groups ?? 2}`], pollEvery: 10, ...(setting.disk && { lowWater: 0 }) });
    this.#setting = setting;
    this.#file = file;
    this.#checkout = checkout;
    this.command = join(checkout, 'cli/backspin.js');
    mkdirSync(this.paths.root);
    if (setting.disk === undefined) return;
    execFileSync('mount', mounting(setting.disk, this.paths.root));
    this.#mounted = true;
  }

  /** The command, for tests that run it themselves. */
  get script(): string {
    return this.command;
  }
  /** Changes the code in its checkout, as a `git pull` does. */
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
  /** Unmounts the disk and deletes its contents. */
  unmount(): void {
    if (this.#mounted) execFileSync('umount', [this.paths.root]);
    this.#mounted = false;
  }

  protected override onPoll(): void {
    for (const path of this.journals()) this.#journals.set(path, textOf(path) || (this.#journals.get(path) ?? ''));
  }

  /** Whether a worker has started an activity of this name; an ended one counts for two seconds. */
  began(activity: string): boolean {
    return globSync(join(this.home, 'inflight/*/*')).some((path) => path.includes(`~${encodeURIComponent(activity)}~`));
  }
  /** Whether a file of the step's scratch exists. */
  has = (stepKey: string, pattern: string): boolean => globSync(join(this.paths.work(stepKey), pattern)).length > 0;

  /** Whether the root has continued as new since its launch. */
  async continued(): Promise<boolean> {
    return (await this.#run()) !== this.#firstRun;
  }
  async #run(): Promise<string> {
    return (await (await this.#temporal()).workflow.getHandle(this.record.workflowId).describe()).runId;
  }
  /** Error types of failed activities that are retried. */
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

  /** Duplicate entries of all journals as last seen. */
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
  /** The number of requests that the server answered. */
  #answers(): string[] {
    const lines = globSync(join(this.home, 'serve/*/access.jsonl')).flatMap((path) => textOf(path).split('\n').filter(Boolean));
    const requests = lines.map((line) => JSON.parse(line) as { id: string; path: string; status: number });
    return requests
      .filter(({ id, path, status }) => !id.startsWith('check/') && path !== '/tokenize' && status === 200)
      .map(({ id }) => id);
  }
  /** For each operator with model requests: requests in its step's count, answered requests, and repeated answers. */
  asked(): { readonly counted: number; readonly answered: number; readonly again: number }[] {
    return [...Map.groupBy(this.#answers(), (id) => id.split('/')[0]!)].flatMap(([key, own]) => {
      const [output] = globSync(join(this.paths.folders.outputs, key.slice(0, 2), `${key}*.json`));
      if (output === undefined && this.#setting.own) return []; // its version has changed, so nobody needs its output
      const answered = new Set(own).size;
      return [{ counted: (JSON.parse(textOf(output!)) as Output).requests, answered, again: own.length - answered }];
    });
  }
  /** One record of each step with model requests: a text, a pair of another text, a test item. */
  async asking({ steps }: View): Promise<string[]> {
    const step = (path: string) => steps.find((one) => one.path === path)!;
    const pool: Rec<unknown>[] = [];
    for await (const record of (await openStore(this.paths.root)).read({ digest: step('backtranslate').output!.digest })) pool.push(record);
    const items = this.#answers().filter((id) => id.startsWith(step('evaluate-forward').stepKey!.slice(0, 16)));
    return [pool[0]!.from[0]!, pool[1]!.id, items.toSorted()[0]!.split('/')[2]!];
  }
}
