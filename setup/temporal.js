/** Finds an installed Temporal CLI, downloads one, or builds it with Go. */
import fs from 'node:fs';
import path from 'node:path';
import { atLeast, flushed, numbers, run, script, which } from './commands.js';
import { requireSpace } from './files.js';
import { cache } from './paths.js';
import { hint, notes } from './steps.js';

const CLI_VERSION = 'v1.5.1'; // tags from v1.6.0 on refuse `go install`
const SERVER = [1, 29];
const GO = [1, 25];
const STALL_MS = 15_000;
const cachedTemporal = path.join(cache, 'temporal', CLI_VERSION.slice(1), 'temporal');

export async function findTemporal() {
  const installed = which('temporal');
  if (installed) {
    const server = await serverVersion(installed);
    if (server && atLeast(server, SERVER)) return installed;
    notes.add(
      `passed over: ${installed} has ${server ? `server ${server.join('.')}` : 'a server of unknown version'}, needed is ${SERVER.join('.')} or newer`,
    );
  }
  return fs.existsSync(cachedTemporal) ? cachedTemporal : undefined;
}

export async function installTemporal(lock) {
  requireSpace(cache, 1);
  const part = path.join(cache, 'temporal', 'part');
  fs.rmSync(part, { recursive: true, force: true });
  fs.mkdirSync(part, { recursive: true });
  try {
    await download(part, lock).catch(() => build(part, lock));
    const [file] = fs.readdirSync(part);
    const made = path.join(part, file);
    if (!atLeast(await serverVersion(made), SERVER)) throw new Error(`the Temporal CLI that was fetched does not answer: ${made}`);
    fs.mkdirSync(path.dirname(cachedTemporal), { recursive: true });
    await flushed();
    fs.renameSync(made, cachedTemporal);
    return cachedTemporal;
  } finally {
    fs.rmSync(part, { recursive: true, force: true });
  }
}

/** Downloads the CLI into `folder` with the SDK, as its test environment does; throws if nothing arrives for 15 s. */
async function download(folder, lock) {
  hint('downloading');
  const program = `
    import { TestWorkflowEnvironment } from '@temporalio/testing';
    const executable = { type: 'cached-download', version: '${CLI_VERSION}', downloadDir: process.argv[1] };
    await (await TestWorkflowEnvironment.createLocal({ server: { executable } })).teardown();`;
  const stall = new AbortController();
  let size = 0;
  let grown = Date.now();
  const watch = setInterval(() => {
    const now = fs.readdirSync(folder).reduce((sum, file) => sum + fs.statSync(path.join(folder, file)).size, 0);
    if (now !== size) grown = Date.now();
    else if (Date.now() - grown > STALL_MS) stall.abort();
    size = now;
  }, 500);
  try {
    await script(program, [folder], { lock, signal: stall.signal });
  } finally {
    clearInterval(watch);
  }
}

async function build(folder, lock) {
  const go = which('go');
  const version = go && numbers(await run(go, ['version']), /go(\d+)\.(\d+)/);
  if (version && !atLeast(version, GO)) notes.add(`passed over: ${go} is Go ${version.join('.')}, needed is ${GO.join('.')} or newer`);
  if (!version || !atLeast(version, GO)) {
    throw new Error(
      'no Temporal CLI, and none could be had. Any one of three ways works; then run this again:\n' +
        `  - put \`temporal\` with server ${SERVER.join('.')} or newer on PATH (https://docs.temporal.io/cli)\n` +
        '  - give this machine a network that reaches the download of the Temporal CLI\n' +
        `  - install Go ${GO.join('.')} or newer, and the CLI is built from source`,
    );
  }
  hint('building with Go, 3 to 4 minutes');
  fs.rmSync(folder, { recursive: true, force: true });
  await run(go, ['install', '-ldflags', '-s -w', `github.com/temporalio/cli/cmd/temporal@${CLI_VERSION}`], {
    lock,
    cwd: cache,
    env: { GOBIN: folder },
    remedy: 'Go needs the network or a warm module cache: check both, then run this again.',
  });
}

async function serverVersion(temporal) {
  return numbers(await run(temporal, ['--version']).catch(() => ''), /Server (\d+)\.(\d+)(?:\.(\d+))?/);
}
