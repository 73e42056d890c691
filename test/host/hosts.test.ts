/** Several hosts: homes of their own, with one store in S3 and one Temporal server. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { globSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { TestWorkflowEnvironment } from '@temporalio/testing';
import test from 'ava';
import { fairQueues } from '../../host/server.ts';
import { startedWith, textOf } from '../../host/proc.ts';
import { readSetup } from '../../host/setup.ts';
import type { View } from '../../experiments/view.ts';
import type { Store } from '../../store/store.ts';
import { backspin, command, root, temporary } from '../cli/cli.ts';
import { s3Program, S3Server } from '../support/s3.ts';

const FILE = join(root, 'test/support/miniature.yaml');
const ONE_ROUND = ['--set', 'parameters.rounds=1'];
const onHosts = s3Program === undefined ? test.skip : test.serial;

let server: S3Server;
let temporal: TestWorkflowEnvironment;
let store: Store;

/** A host: a home with its workers. */
class Host {
  readonly home = temporary();
  readonly #process: ChildProcess;
  readonly ended: Promise<number | null>;
  output = '';

  constructor(...args: string[]) {
    this.#process = spawn(process.execPath, [command, 'worker', ...args], {
      env: environment(this.home),
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    for (const stream of [this.#process.stdout!, this.#process.stderr!]) stream.on('data', (text) => (this.output += text));
    this.ended = once(this.#process, 'exit').then(([code]) => code as number | null);
  }

  async ready(): Promise<this> {
    await until(
      () => this.output.includes('backspin is up'),
      () => `the host is up:\n${this.output}`,
    );
    return this;
  }
  signal(signal: NodeJS.Signals): void {
    this.#process.kill(signal);
  }
  processes = (): number[] => startedWith(`BACKSPIN_LIFELINE=${this.home}/lifeline\0`);
  /** Its power is cut, and its disk is gone. */
  async destroy(): Promise<void> {
    for (const pid of [this.#process.pid!, ...this.processes()]) {
      try {
        process.kill(pid, 'SIGKILL');
      } catch {
        // it has ended
      }
    }
    await until(
      () => this.processes().length === 0,
      () => 'its processes are gone',
    );
    rmSync(this.home, { recursive: true, force: true });
  }
  log = (name: string): string => textOf(join(this.home, 'logs', `${name}.log`));
}
const environment = (home: string): NodeJS.ProcessEnv => ({
  ...process.env,
  ...server.env,
  BACKSPIN_HOME: home,
  BACKSPIN_STORE: store?.location,
  TEMPORAL_ADDRESS: temporal.address,
  TEMPORAL_CONFIG_FILE: join(home, 'no-profile.toml'),
});

async function until(what: () => boolean | Promise<boolean>, hope: () => string, within = 600_000): Promise<void> {
  for (const end = performance.now() + within; !(await what()); await delay(50))
    if (performance.now() > end) throw new Error(`not within ${within} ms: ${hope()}`);
}

const login = temporary();
const run = (...args: string[]) => backspin(login, args, environment(login));
const status = async (name: string): Promise<View> => JSON.parse((await run('status', name, '--json')).stdout) as View;
/** The digest of each step's output, by path. */
const digests = ({ steps }: View) => Object.fromEntries(steps.map(({ path, output }) => [path, output?.digest]));

test.before(async (t) => {
  if (s3Program === undefined) return;
  t.timeout(1_300_000);
  server = await S3Server.start();
  temporal = await TestWorkflowEnvironment.createLocal({
    server: { executable: { type: 'existing-path', path: readSetup().temporal }, extraArgs: fairQueues },
  });
  store = await server.open();
});
test.after.always(async () => {
  await temporal?.teardown();
  await server?.kill();
});

onHosts(
  'three hosts over one store give the digests of one host, though gpu hosts are lost with their disks in a training and in a map, and one is drained',
  async (t) => {
    t.timeout(1_380_000);
    const alone = ofOneHost();
    alone.catch(() => {}); // awaited below
    const orchestrator = await new Host('--orchestrator').ready(); // the first one names the build of all
    const data = new Host('--data');
    let gpu = new Host('--pool', 'cpu=1');
    try {
      await Promise.all([data.ready(), gpu.ready()]);
      const launched = await run('launch', FILE, ...ONE_ROUND);
      t.is(launched.code, 0, launched.stderr);
      const found = (pattern: string) => globSync(join(server.folder, 'data', store.location.slice('s3://'.length), 'work', pattern));
      const CHECKPOINT = '*/checkpoints/*/*/COMPLETE.json';
      const another = async () => void (gpu = await new Host('--pool', 'cpu=1').ready());

      await until(
        () => found(CHECKPOINT).length > 0,
        () => 'a checkpoint is in the store',
      );
      const [first] = found(CHECKPOINT);
      await gpu.destroy();
      await another();
      await until(
        () => found('*/batches/*/*.jsonl/*/*').length > 0,
        () => 'replies are in the store',
      );
      await gpu.destroy();
      await another();
      const others = () => found(CHECKPOINT).filter((path) => path !== first);
      await until(
        () => others().length > 0 || committed(),
        () => 'another checkpoint is in the store',
      );
      gpu.signal('SIGUSR1');
      t.is(await gpu.ended, 0, gpu.output);
      t.deepEqual(gpu.processes(), []);
      await another();

      const watched = await run('watch', 'miniature');
      t.is(watched.code, 0, watched.stdout + watched.stderr);
      t.deepEqual(digests(await status('miniature')), await alone);
    } finally {
      for (const host of [gpu, data, orchestrator]) await host.destroy();
    }
  },
);
/** Whether the last training has ended. */
const committed = () => /"path":"r1\/forward".*"state":"completed"/.test(recordText());
const recordText = () => {
  const folder = join(server.folder, 'data', store.location.slice('s3://'.length), 'experiments');
  return globSync(join(folder, '**/*.json')).map(textOf).join('\n');
};

onHosts('a host without work ends after its time, and one with other files of backspin is refused', async (t) => {
  t.timeout(600_000);
  const idle = new Host('--pool', 'cpu=1', '--idle-exit', '1s');
  t.is(await idle.ended, 0, idle.output);
  t.regex(idle.output, /Nothing to do for 1 s/);
  const path = join(store.blobs.paths.root, 'deployment.json');
  const deployed = JSON.parse((await store.blobs.read(path))!.toString()) as object;
  await store.blobs.write(path, JSON.stringify({ ...deployed, build: 'other' }));
  const other = new Host('--data');
  t.is(await other.ended, 1);
  t.regex(other.output, /run other files of backspin than this one\. Install the same on all hosts/);
});

test('a worker without a role, a server or a common store says what to set', async (t) => {
  const home = temporary();
  for (const [args, env, says] of [
    [[], {}, /--orchestrator, --data, or --pool/],
    [['--orchestrator', '--idle-exit', '5m'], {}, /must stay/],
    [['--data'], {}, /No Temporal server is named.*TEMPORAL_ADDRESS/],
    [['--data'], { TEMPORAL_ADDRESS: '127.0.0.1:9' }, /store is a folder of this host.*BACKSPIN_STORE/],
  ] as const) {
    const { code, stderr } = await backspin(home, ['worker', ...args], env);
    t.is(code, 1, stderr);
    t.regex(stderr, says);
  }
});

/** The same experiment in a home of its own. */
async function ofOneHost(): Promise<Record<string, unknown>> {
  const home = temporary();
  const alone = { TEMPORAL_ADDRESS: '', BACKSPIN_STORE: '' };
  const ended = await backspin(home, ['launch', FILE, ...ONE_ROUND, '--watch'], alone);
  if (ended.code !== 0) throw new Error(ended.stdout + ended.stderr);
  const view = JSON.parse((await backspin(home, ['status', 'miniature', '--json'], alone)).stdout) as View;
  await backspin(home, ['down'], alone);
  return digests(view);
}
