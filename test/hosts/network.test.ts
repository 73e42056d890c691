/** Four hosts: Temporal on PostgreSQL and S3; the orchestrator and the data worker; two with a device group each. Each fault of a host or a
 *  service strikes the running experiment, and nobody helps but to start again what was off. */
import { globSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import test, { type ExecutionContext } from 'ava';
import { slotRecord } from '../../schemas/devices.ts';
import { temporary } from '../cli/cli.ts';
import { s3Program, S3Server } from '../support/s3.ts';
import { Deployment, digestsOfOneHost, type Host } from './deployment.ts';
import { Network } from './network.ts';
import { Postgres } from './postgres.ts';
import { found } from './services.ts';
import { TemporalServer } from './temporal-server.ts';

const onNetwork = found.postgres && found.temporal && s3Program !== undefined && process.getuid?.() === 0 ? test.serial : test.skip;
const ROUNDS = ['--set', 'parameters.rounds=3'];
/** Milliseconds that a service is away. */
const AWAY = 8_000;
const [SERVICES, HEAD, ...GPUS] = [1, 2, 3, 4] as const;

onNetwork(
  'hosts that lose their cable or their power, and services that are killed, change no digest, and the experiment goes on by itself',
  async (t) => {
    t.timeout(2_400_000);
    const alone = await digestsOfOneHost(ROUNDS);
    const network = await Network.up(4);
    const [address, near] = [network.address(SERVICES), network.near(SERVICES)];
    const postgres = await Postgres.start(address, near);
    const s3 = await S3Server.start(address, near);
    const deployment = new Deployment({
      ...s3.env,
      BACKSPIN_STORE: s3.address(),
      PATH: `${found.temporal}:${process.env['PATH']}`,
      ...postgres.env,
    });
    let temporal: TemporalServer | undefined;
    try {
      deployment.login = network.on(HEAD);
      await deployment.succeeds('setup-server', '--schema');
      temporal = await TemporalServer.start(postgres, address, near);
      deployment.env['TEMPORAL_ADDRESS'] = temporal.address;
      while ((await deployment.run('setup-server')).code !== 0) await delay(1_000); // it is starting
      const gpus = new Map<number, Host>();
      const bring = async (host: number) =>
        void gpus.set(host, await deployment.host(['--pool', 'cpu=1'], temporary(), network.on(host)).ready());
      await deployment.host(['--orchestrator', '--data'], temporary(), network.on(HEAD)).ready();
      await Promise.all(GPUS.map(bring));
      await deployment.succeeds('launch', deployment.file, ...ROUNDS);

      const struck = strikesOf(t, join(s3.folder, 'data'));
      const training = await hostDoing('train', gpus);
      await struck('cable of a GPU host, in a training', () => network.cut(training));
      await delay(70_000); // by then the other host has the training, and this one still computes
      network.heal(training);
      const serving = await hostDoing('serve', gpus);
      await struck('power of a GPU host, in a map', () => network.off(serving));
      await network.boot(serving);
      await bring(serving);
      const services = [
        ['S3 server', s3],
        ['Temporal server', temporal],
        ['PostgreSQL', postgres],
      ] as const;
      for (const [name, service] of services) {
        await hostDoing(name === 'S3 server' ? 'train' : 'serve', gpus);
        await struck(`${name}, SIGKILL, away for ${AWAY / 1000} s`, async () => {
          await service.kill();
          await delay(AWAY);
          await service.resume();
        });
      }
      const watched = await deployment.run('watch', 'miniature');
      t.is(watched.code, 0, watched.stdout + watched.stderr);
      t.deepEqual(await deployment.digests('miniature'), alone);
    } finally {
      await deployment.stop();
      await temporal?.kill();
      await postgres.kill();
      await s3.kill();
      network.down();
    }
  },
);

/** Waits for a host that does this, and for its first traces in the store. */
async function hostDoing(kind: 'serve' | 'train', gpus: ReadonlyMap<number, Host>): Promise<number> {
  for (const end = performance.now() + 300_000; performance.now() < end; await delay(100)) {
    const at = GPUS.find((host) => kindsIn(gpus.get(host)!.home).includes(kind));
    if (at === undefined) continue;
    await delay(4_000);
    if (kindsIn(gpus.get(at)!.home).includes(kind)) return at;
  }
  throw new Error(`no host has something to ${kind}`);
}

/** Logs how long each fault holds up the experiment whose store is in this folder. The clock starts when the fault of a service has ended;
 *  that of a host lasts. */
function strikesOf(t: ExecutionContext, folder: string) {
  return async (what: string, fault: () => unknown): Promise<void> => {
    await fault();
    const [from, before] = [performance.now(), progressOf(folder)];
    while (progressOf(folder) === before) await delay(100);
    t.log(`${what}: progress after ${((performance.now() - from) / 1000).toFixed(1)} s`);
  };
}

/** What runs on the device groups of a host. */
function kindsIn(home: string): readonly string[] {
  return globSync(join(home, 'devices', '*.json')).flatMap((file) => {
    try {
      return slotRecord.parse(JSON.parse(readFileSync(file, 'utf8'))).kind;
    } catch {
      return []; // being written
    }
  });
}

/** Changes with every object in the store: replies, checkpoints, results, records of experiments. */
function progressOf(folder: string): string {
  const sizes = globSync(join(folder, '**/*')).map((file) => statSync(file, { throwIfNoEntry: false })?.size ?? 0);
  return `${sizes.length} ${sizes.reduce((sum, size) => sum + size, 0)}`;
}
