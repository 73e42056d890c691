/** What a shell completes, and the logs of a step. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { judgedHome, type Judged } from '../support/judged.ts';
import { backspin, root, temporary, verbs } from './cli.ts';

let home: Judged;
test.before(async () => {
  home = await judgedHome();
});
const completes = async (...words: string[]) => {
  const { code, stdout, stderr } = await backspin(home.folder, ['complete', '--', ...words]);
  return code === 0 && stderr === '' ? stdout.split('\n').filter(Boolean) : stderr;
};

test('verbs, options, experiments, steps, recipes and choices are completed, and no store is made for it', async (t) => {
  t.deepEqual(await completes(''), [...verbs, 'help']);
  t.deepEqual(await completes('rep'), ['report']);
  t.deepEqual(await completes('show', ''), ['judged', 'strict']);
  t.deepEqual(await completes('show', '--limit', '3', 'j'), ['judged']);
  t.deepEqual(await completes('show', 'judged', 'r2/c'), ['r2/curated']);
  t.deepEqual(await completes('show', 'judged', 'r1/judge', '--so'), ['--sort']);
  t.deepEqual(await completes('report', 'judged', 's'), ['strict']);
  t.deepEqual(await completes('export', 'judged', '--format', 'trl'), ['trl-sft', 'trl-dpo']);
  t.deepEqual(await completes('init', 'hump'), ['humpback']);
  t.deepEqual(await completes('completion', ''), ['bash', 'zsh', 'fish']);
  t.deepEqual(await completes('plan', 'exam'), []);
  t.deepEqual(await completes('no-verb', ''), []);
  const empty = temporary();
  t.is((await backspin(empty, ['complete', '--', 'show', ''])).stdout, '');
  t.deepEqual(execFileSync('ls', [empty]).toString(), '');
});

test('bash completes a step with the script that is printed for it', async (t) => {
  const { stdout: script } = await backspin(home.folder, ['completion', 'bash']);
  const typed = `${script}\nCOMP_WORDS=(backspin show judged r1/j); COMP_CWORD=3; _backspin; echo "\${COMPREPLY[*]}"`;
  const env = { ...process.env, BACKSPIN_HOME: home.folder, PATH: `${join(root, 'node_modules/.bin')}:${process.env['PATH']}` };
  t.is(execFileSync('bash', ['-c', typed], { env }).toString().trim(), 'r1/judge');
});

test('the logs of a step are those of its subprocesses; without any, those of its servers and workers, as text', async (t) => {
  const record = (await home.store.experiment('judged'))!;
  const stepKey = record.steps.find(({ path }) => path === 'r1/forward')!.stepKey!;
  const put = (folder: string, file: string, text: string) => {
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, file), text);
  };
  put(join(home.store.work(stepKey), 'run'), 'train.log', 'one\ntwo\n10%\r20%\rthree \u001b[2J\n');
  put(join(home.folder, 'serve/cpu-0'), 'server.log', 'served\n');
  put(join(home.folder, 'logs'), 'gpu-cpu.log', 'worked\n');
  const logs = async (...words: string[]) => (await backspin(home.folder, ['logs', 'judged', ...words])).stdout;
  const training = await logs('r1/forward', '--lines', '2');
  t.regex(training, /train\.log, a subprocess of the step\ntwo\nthree \\x1b\[2J\n/);
  t.notRegex(training, /one|worked\n/);
  t.regex(training, /More, with --all: \S+gpu-cpu\.log \(the worker of the pool cpu\)/);
  t.regex(await logs('r1/forward', '--all'), /worked/);
  const map = await logs('r1/judge');
  t.regex(map, /r1\/judge is completed, and its own logs went with its scratch files/);
  t.regex(map, /server\.log, a model server of the pool cpu\nserved\n[^]*worked/);
});
