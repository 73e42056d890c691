import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import test from 'ava';
import { runs } from '../devices/processes.ts';

/** Runs a program that begins as a test file does, in a folder of temporary files that is looked into afterwards. */
async function asTestFile(program: string, signal?: NodeJS.Signals) {
  const folder = mkdtempSync(join(tmpdir(), 'leftovers-'));
  const before = `import { mkdtempSync } from 'node:fs'; import { tmpdir } from 'node:os'; import { spawn } from 'node:child_process'; mkdtempSync(tmpdir() + '/made-');`;
  const args = ['--import', join(import.meta.dirname, 'support/temporary.ts'), '--input-type=module', '-e', before + program];
  const child = spawn(process.execPath, args, { env: { ...process.env, TMPDIR: folder }, stdio: ['ignore', 'pipe', 'pipe'] });
  if (signal) child.stdout.once('data', () => child.kill(signal));
  const closed = once(child, 'close') as Promise<[number | null]>;
  const [stdout, stderr] = await Promise.all([text(child.stdout), text(child.stderr)]);
  const [code] = await closed;
  return { code, stdout, stderr, left: readdirSync(folder) };
}

test('a test file leaves no temporary files behind: when it passes, when it fails, when it is ended', async (t) => {
  t.like(await asTestFile(''), { code: 0, stderr: '', left: [] });
  t.like(await asTestFile('throw new Error("fails")'), { code: 1, left: [] });
  t.like(await asTestFile('console.log("here"); setInterval(() => {}, 1000);', 'SIGTERM'), { code: 1, left: [] });
});

test('a test file that leaves a process running fails, and the process is ended', async (t) => {
  if (process.platform !== 'linux') return t.pass('only there does a process tell whose it is');
  const program = `const child = spawn('sleep', ['600'], { detached: true, stdio: 'ignore' }); child.unref(); console.log(child.pid);`;
  const { code, stdout, stderr, left } = await asTestFile(program);
  t.is(code, 1);
  t.is(stderr, `left running: sleep 600 (${stdout.trim()})\n`);
  t.false(runs(Number(stdout)));
  t.deepEqual(left, []);
});
