/** The command as a person runs it: its own process, a home of its own, and nothing of the environment that names a server. */
import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtempSync, realpathSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { text } from 'node:stream/consumers';

export const root = resolve(import.meta.dirname, '../..');
export const command = join(root, 'cli/backspin.js');

/** Of the command, in the order of its help. */
export const verbs: readonly string[] =
  'up worker down setup setup-server doctor init plan launch prompt try chat list status watch cancel show logs sql trace ui compare report track fork export approve review reject set-budget retry-step give-up pause resume stop gc store chaos schema completion'.split(
    ' ',
  );

export interface Ran {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export const temporary = (): string => realpathSync(mkdtempSync(join(tmpdir(), 'backspin-cli-')));

/** Runs `backspin ARGS` to its end. `started` gets its process; `prefix`: words before the command. */
export async function backspin(
  home: string,
  args: readonly string[],
  env: NodeJS.ProcessEnv = {},
  script = command,
  started: (child: ChildProcess) => void = () => {},
  prefix: readonly string[] = [],
): Promise<Ran> {
  const own = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('TEMPORAL_') && name !== 'BACKSPIN_HOME'));
  const [program, ...words] = [...prefix, process.execPath, script, ...args];
  const child = spawn(program!, words, {
    cwd: home,
    env: { ...own, BACKSPIN_HOME: home, TEMPORAL_CONFIG_FILE: join(home, 'no-profile.toml'), NO_COLOR: '1', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  started(child);
  const code = new Promise<number | null>((done) => child.once('close', done));
  const [stdout, stderr] = await Promise.all([text(child.stdout), text(child.stderr)]);
  return { code: await code, stdout, stderr };
}

/** Writes a file into a folder and gives its path. */
export function file(folder: string, name: string, content: string): string {
  writeFileSync(join(folder, name), content);
  return join(folder, name);
}

/** Waits until `what` holds, for as long as a busy machine may need. */
export async function until(what: () => boolean, hope: string): Promise<void> {
  const end = performance.now() + PATIENCE;
  while (!what()) {
    if (performance.now() > end) throw new Error(`not within ${PATIENCE} ms: ${hope}`);
    await new Promise((next) => setTimeout(next, 20));
  }
}
const PATIENCE = 300_000;
