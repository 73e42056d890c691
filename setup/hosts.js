/** Finds or installs what tests of several hosts need: Temporal's server with its tool for SQL, PostgreSQL, Slurm. What cannot be had is
 *  null, and its tests are skipped. */
import fs from 'node:fs';
import path from 'node:path';
import { atLeast, flushed, numbers, run, which } from './commands.js';
import { requireSpace } from './files.js';
import { cache } from './paths.js';
import { hint, notes, step } from './steps.js';

const SERVER = 'v1.32.1';
const GO = [1, 26];
const servers = path.join(cache, 'temporal-server', SERVER.slice(1));
/** By the folders of their sources, the names under which Temporal's releases have them. */
const programs = { server: 'temporal-server', sql: 'temporal-sql-tool' };

export async function hostsSteps() {
  const temporal = await step('Temporal server', cache, async () => (isWhole() ? servers : undefined), buildServer);
  const postgres = await step(
    'PostgreSQL',
    cache,
    async () => postgresFolder(),
    () => install('postgresql', postgresFolder),
  );
  const slurm = await step(
    'Slurm',
    cache,
    async () => hasSlurm(),
    () => install('slurmd slurmctld slurm-client munge slurm-wlm-basic-plugins', hasSlurm),
  );
  return { temporal, postgres, slurm };
}

const isWhole = () => Object.values(programs).every((name) => fs.existsSync(path.join(servers, name)));

/** The folder of PostgreSQL's programs. */
function postgresFolder() {
  const root = '/usr/lib/postgresql';
  const versions = fs.existsSync(root) ? fs.readdirSync(root).toSorted((a, b) => Number(b) - Number(a)) : [];
  const found = versions.map((version) => path.join(root, version, 'bin')).find((bin) => fs.existsSync(path.join(bin, 'initdb')));
  const onPath = which('initdb');
  return found ?? (onPath && path.dirname(onPath));
}

const hasSlurm = () => (['slurmctld', 'slurmd', 'munged', 'sbatch'].every((name) => which(name)) ? true : undefined);

async function install(names, find) {
  const apt = which('apt-get');
  if (apt && process.getuid?.() === 0) {
    hint('apt-get install');
    const env = { DEBIAN_FRONTEND: 'noninteractive' };
    const one = () => run(apt, ['install', '-y', '--no-install-recommends', ...names.split(' ')], { env });
    await one()
      .catch(() => run(apt, ['update'], { env }).then(one))
      .catch((error) => notes.add(error.message.split('\n')[0]));
  }
  const found = find();
  if (found === undefined) notes.add(`none, so its tests are skipped: \`apt-get install ${names}\` as root brings it to Debian`);
  return found ?? null;
}

async function buildServer(lock) {
  const go = which('go');
  const version = go && numbers(await run(go, ['version']), /go(\d+)\.(\d+)/);
  if (!version || !atLeast(version, GO)) {
    notes.add(`none, so its tests are skipped: install Go ${GO.join('.')} or newer`);
    return null;
  }
  hint('building with Go, 5 minutes');
  requireSpace(cache, 3);
  const part = path.join(cache, 'temporal-server', 'part');
  fs.rmSync(part, { recursive: true, force: true });
  fs.mkdirSync(part, { recursive: true });
  try {
    const packages = ['cmd/server', 'cmd/tools/sql'].map((name) => `go.temporal.io/server/${name}@${SERVER}`);
    await run(go, ['install', '-ldflags', '-s -w', ...packages], { lock, cwd: cache, env: { GOBIN: part } });
    for (const [built, name] of Object.entries(programs)) fs.renameSync(path.join(part, built), path.join(part, name));
    await flushed();
    fs.rmSync(servers, { recursive: true, force: true });
    fs.renameSync(part, servers);
    return servers;
  } catch (error) {
    notes.add(`none, so its tests are skipped: ${error.message.split('\n').at(-2) ?? error.message}`);
    return null;
  } finally {
    fs.rmSync(part, { recursive: true, force: true });
  }
}
