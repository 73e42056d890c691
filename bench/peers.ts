/** Runs the two-step job with other programs, each in a Python environment of its own, which the first run installs. */
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);
const packages: Readonly<Record<string, readonly string[]>> = {
  curator: ['bespokelabs-curator'],
  distilabel: ['distilabel[openai]', 'requests'],
  dbos: ['dbos', 'httpx'],
};
/** Milliseconds. */
const INSTALLED_WITHIN = 900_000;
const DONE_WITHIN = 900_000;

/** Lets a peer send two requests per record. Returns the seconds of its job without imports, or a sentence why it did not run. */
export async function peer(name: string, url: string, records: number): Promise<number | string> {
  const folder = join(tmpdir(), 'backspin-peers', name);
  const python = join(folder, 'bin', 'python');
  try {
    await installed(folder, packages[name]!);
  } catch (error) {
    return `it could not be installed: ${lastLine(error)}`;
  }
  const scratch = await mkdtemp(join(tmpdir(), 'backspin-bench-peer-'));
  try {
    const script = join(import.meta.dirname, 'peers', `${name}.py`);
    const env = { ...process.env, TMPDIR: scratch };
    const { stdout } = await run(python, [script, url, String(records)], { timeout: DONE_WITHIN, maxBuffer: 2 ** 28, cwd: folder, env });
    return (JSON.parse(stdout.trim().split('\n').at(-1)!) as { seconds: number }).seconds;
  } catch (error) {
    return `it failed: ${lastLine(error)}`;
  } finally {
    await rm(scratch, { recursive: true });
  }
}

async function installed(folder: string, names: readonly string[]): Promise<void> {
  const done = join(folder, 'installed');
  if ((await readFile(done, 'utf8').catch(() => '')) === names.join()) return;
  await rm(folder, { recursive: true, force: true });
  await run('python3', ['-m', 'venv', folder]);
  await run(join(folder, 'bin', 'pip'), ['install', '--quiet', ...names], { timeout: INSTALLED_WITHIN });
  await writeFile(done, names.join());
}

const lastLine = (error: unknown): string => {
  const { stderr = '', message } = error as { stderr?: string; message: string };
  return (stderr.trim() || message).split('\n').at(-1)!.slice(0, 300);
};
