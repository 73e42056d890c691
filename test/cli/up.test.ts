/** `up` for real: a Temporal dev server, the workers, and what happens when any of them, or all, are killed. */
import { execFileSync, spawn } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { once } from 'node:events';
import { connect, createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { createServer as createSecureServer } from 'node:tls';
import { Client, Connection } from '@temporalio/client';
import test from 'ava';
import { loadExperiment } from '../../experiments/config.ts';
import type { Up } from '../../host/home.ts';
import { readSetup } from '../../host/setup.ts';
import { startOptions } from '../../experiments/start.ts';
import type { ExperimentRecord } from '../../schemas/experiment.ts';
import { startedWith, wordsOf } from '../../host/proc.ts';
import { backspin, root, temporary, until } from './cli.ts';

const upOf = (home: string) => JSON.parse(readFileSync(join(home, 'up.json'), 'utf8')) as Up;
/** Every process that this home has started. */
const ours = (home: string) => startedWith(`BACKSPIN_LIFELINE=${home}/lifeline\0`);
const running = (home: string, what: string) =>
  ours(home).filter((pid) => {
    const words = wordsOf(pid);
    return words.slice(0, 3).some((word) => word.includes(what)) && !words.some((word) => word.includes('launch.sh'));
  });
const lives = (home: string, log: string) => readFileSync(join(home, 'logs', log), 'utf8').split('{"ready":true}').length - 1;

const home = temporary();

test.serial('up --detach returns when every queue has a poller, and doctor finds nothing wrong', async (t) => {
  const up = await backspin(home, ['up', '--detach']);
  t.is(up.code, 0, up.stderr);
  t.regex(up.stdout, /backspin is up in .*: Temporal at 127\.0\.0\.1:\d+, its UI at http:/);
  const doctor = await backspin(home, ['doctor', '--json']);
  t.deepEqual(
    (JSON.parse(doctor.stdout) as { findings: { problem?: string }[] }).findings.filter(({ problem }) => problem !== undefined),
    [],
  );
  t.is(doctor.code, 0);
});

test.serial('who starts a workflow that names a module of his own has it neither run nor read in', async (t) => {
  const folder = temporary();
  const ran = join(folder, 'ran');
  writeFileSync(
    join(folder, 'guest.ts'),
    `import { appendFileSync } from 'node:fs';\nimport { source } from 'backspin';\nimport { z } from 'zod';\nappendFileSync(${JSON.stringify(ran)}, process.pid + ' ');\nexport const namespace = 'guest';\nexport const pairs = source({ version: 1, output: z.object({ text: z.string() }), *rows() { yield { text: 'a' }; } });\n`,
  );
  const yaml = `recipe: humpback\nmodules: [guest.ts]\ndata: { seed: { source: guest.pairs }, corpus: { source: guest.pairs } }\nmodels: { base: { path: ${root}/examples/textworld/base/rated } }\nparameters: { rounds: 1, keep: { threshold: 5 } }\n`;
  writeFileSync(join(folder, 'guest.yaml'), yaml);
  const { bound, digest } = await loadExperiment(join(folder, 'guest.yaml'), [], undefined);
  const store = readFileSync(join(home, 'store/id'), 'utf8');
  const connection = await Connection.connect({ address: upOf(home).address });
  const { workflow } = new Client({ connection });
  const handle = await workflow.start('experiment', startOptions({ store, config: bound, configDigest: digest, parent: null, pins: {} }));
  const reasons = async () => JSON.stringify((await handle.query<ExperimentRecord>('progress')).attention);
  for (let n = 0; n < 600 && !(await reasons()).includes('No launch from this home has named the module'); n++) await setTimeout(100);
  t.regex(await reasons(), /No launch from this home has named the module .*guest\.ts/);
  t.deepEqual([...new Set(readFileSync(ran, 'utf8').trim().split(' '))], [`${process.pid}`], 'but for whoever bound the file');
  await handle.terminate();
  await connection.close();
});

test.serial('nobody else on the machine can read what a home holds', async (t) => {
  const open = readdirSync(home, { recursive: true, withFileTypes: true })
    .filter((entry) => !entry.isSymbolicLink())
    .map((entry) => join(entry.parentPath, entry.name))
    .filter((path) => !path.includes('/node_modules/')) // a link to the checkout's
    .filter((path) => ((statSync(path, { throwIfNoEntry: false })?.mode ?? 0) & 0o077) !== 0);
  t.deepEqual(open, []);
  t.true(existsSync(join(home, 'temporal.db')) && existsSync(join(home, 'logs/data.log')));
});

test.serial('a second up in the same home says that it is up; one in another home runs beside it', async (t) => {
  const again = await backspin(home, ['up']);
  t.is(again.code, 1);
  t.regex(again.stderr, /^backspin is already up in .* \(process \d+, Temporal at .*\): `backspin down` stops it\.\n$/);
  const other = temporary();
  t.is((await backspin(other, ['up', '--detach'])).code, 0);
  t.not(upOf(other).address, upOf(home).address);
  t.is((await backspin(other, ['down'])).code, 0);
  t.deepEqual(ours(other), []);
  t.true(running(home, 'data.ts').length > 0);
});

for (const worker of ['orchestrator', 'data', 'gpu']) {
  test.serial(`a killed ${worker} worker polls again by itself`, async (t) => {
    const log = worker === 'gpu' ? 'gpu-cpu.log' : `${worker}.log`;
    const before = lives(home, log);
    for (const pid of running(home, `${worker}.ts`)) process.kill(pid, 'SIGKILL');
    await until(() => lives(home, log) > before, `the ${worker} worker polls`);
    t.pass();
  });
}

test.serial('a killed Temporal server comes back where it was', async (t) => {
  const { address } = upOf(home);
  for (const pid of running(home, 'temporal')) process.kill(pid, 'SIGKILL');
  await until(() => running(home, 'temporal').length > 0, 'the server runs');
  const port = address.split(':')[1]!;
  await until(() => portAnswers(port), 'the server answers');
  t.is(upOf(home).address, address);
});

test.serial('when up is killed everything ends with it, and the next up works, at the same address', async (t) => {
  const { pid, address } = upOf(home);
  process.kill(pid, 'SIGKILL');
  await until(() => ours(home).length === 0, 'nothing is left');
  t.regex((await backspin(home, ['doctor'])).stdout, /No workers are up here: run `backspin up --detach`/);
  t.is((await backspin(home, ['up', '--detach'])).code, 0);
  t.is(upOf(home).address, address);
});

test.serial('down leaves nothing behind', async (t) => {
  t.is((await backspin(home, ['down'])).code, 0);
  t.deepEqual(ours(home), []);
  t.false(existsSync(join(home, 'up.json')));
  t.regex((await backspin(home, ['down'])).stdout, /Nothing is up/);
});

test.serial('a taken port is named', async (t) => {
  const server = createServer();
  await new Promise<void>((done) => void server.listen(0, '127.0.0.1', done));
  const { port } = server.address() as AddressInfo;
  for (const args of [
    ['up', '--port', `${port}`],
    ['up', '--detach', '--ui-port', `${port}`],
  ]) {
    const { code, stderr } = await backspin(home, args);
    t.is(code, 1);
    t.regex(stderr, new RegExp(`Port ${port} on 127\\.0\\.0\\.1 is taken: choose another with --(ui-)?port`));
  }
  server.close();
});

test.serial('a database file of another Temporal version, or none at all, is not used', async (t) => {
  const file = join(home, 'temporal.version');
  const version = readFileSync(file, 'utf8');
  writeFileSync(file, '1.27.4');
  const older = await backspin(home, ['up']);
  t.is(older.code, 1);
  t.regex(older.stderr, /temporal\.db was made by Temporal server 1\.27\.4, and this is [\d.]+, which cannot read it: move it away/);
  writeFileSync(file, version);
  writeFileSync(join(home, 'temporal.db'), 'not a database, for sure. '.repeat(100));
  const damaged = await backspin(home, ['up', '--detach']);
  t.is(damaged.code, 1);
  t.regex(damaged.stderr, /file is not a database[^]*move it away/);
  t.deepEqual(ours(home), []);
});

test.serial('a search attribute of another type on a named server is a sentence', async (t) => {
  const port = `${await freePort()}`;
  const server = spawn(readSetup().temporal, [
    'server',
    'start-dev',
    '--headless',
    '--port',
    port,
    '--log-level',
    'never',
    '--search-attribute',
    'BackspinRound=Keyword',
  ]);
  t.teardown(() => server.kill('SIGKILL'));
  await until(() => portAnswers(port), 'the server answers');
  const { code, stderr } = await backspin(temporary(), ['up'], { TEMPORAL_ADDRESS: `127.0.0.1:${port}` });
  t.is(code, 1);
  t.regex(stderr, /The search attribute BackspinRound of the namespace default is of type Keyword, needed is Int\./);
});

test.serial('workers are let in by the certificate that a profile names', async (t) => {
  const port = await freePort();
  const server = spawn(readSetup().temporal, ['server', 'start-dev', '--headless', '--port', `${port}`, '--log-level', 'never']);
  t.teardown(() => server.kill('SIGKILL'));
  await until(() => portAnswers(`${port}`), 'the server answers');
  const pem = (name: string) => join(import.meta.dirname, '../support/tls', name);
  const front = createSecureServer(
    { key: readFileSync(pem('key.pem')), cert: readFileSync(pem('certificate.pem')), ALPNProtocols: ['h2'] },
    (socket) => {
      const behind = connect(port, '127.0.0.1');
      for (const one of [socket, behind]) one.on('error', () => {});
      socket.pipe(behind).pipe(socket);
    },
  );
  t.teardown(() => front.close());
  await once(front.listen(0, '127.0.0.1'), 'listening');
  const profiled = temporary();
  const profile = join(profiled, 'temporal.toml');
  const address = `localhost:${(front.address() as AddressInfo).port}`;
  writeFileSync(
    profile,
    `[profile.default]\naddress = "${address}"\n[profile.default.tls]\nserver_ca_cert_path = "${pem('authority.pem')}"\n`,
  );
  const up = await backspin(profiled, ['up', '--detach'], { TEMPORAL_CONFIG_FILE: profile });
  t.is(up.code, 0, up.stderr);
  t.is(upOf(profiled).address, address);
  t.is((await backspin(profiled, ['down'])).code, 0);
  t.deepEqual(ours(profiled), []);
});

test.serial('a named server that does not answer is a sentence', async (t) => {
  const { code, stderr } = await backspin(temporary(), ['up'], { TEMPORAL_ADDRESS: '127.0.0.1:9' });
  t.is(code, 1);
  t.regex(stderr, /No Temporal server answers at 127\.0\.0\.1:9, which the environment or a Temporal profile names/);
});

test.after.always(() => backspin(home, ['down']));

function portAnswers(port: string): boolean {
  try {
    execFileSync(readSetup().temporal, ['operator', 'cluster', 'health', '--address', `127.0.0.1:${port}`, '--command-timeout', '1s'], {
      stdio: 'ignore',
    });
    return true;
  } catch {
    return false;
  }
}
async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((done) => void server.listen(0, '127.0.0.1', done));
  const { port } = server.address() as AddressInfo;
  await new Promise((done) => void server.close(done));
  return port;
}
