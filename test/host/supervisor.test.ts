import { appendFileSync, existsSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { Supervised, type Health } from '../../host/supervisor.ts';
import { Subprocess } from '../../devices/subprocess.ts';
import { alive, startTime } from '../../devices/processes.ts';
import { makeLifeline } from '../../devices/lifeline.ts';
import { file, temporary, until } from '../cli/cli.ts';

/** A part that runs a small script; `said` gives the lines that it has written so far. */
function supervise(script: string, health?: Health) {
  const folder = temporary();
  const log = join(folder, 'log');
  const part = new Supervised({
    name: 'small script',
    command: [process.execPath, file(folder, 'part.mjs', script)],
    env: { FOLDER: folder },
    log,
    folder,
    lifeline: makeLifeline(join(folder, 'lifeline')).path,
    grace: 2_000,
    ...(health && { health }),
  });
  return { part, folder, said: () => (existsSync(log) ? readFileSync(log, 'utf8').trim().split('\n') : []) };
}
const READY = `console.log('{"ready":true}');`;
const FOREVER = 'setInterval(() => {}, 1000);';

test('a part is ready when it says so, and ends when it is told', async (t) => {
  const { part, said } = supervise(`${READY} process.on('SIGTERM', () => { console.log('told'); process.exit(0); }); ${FOREVER}`);
  await part.ready;
  await part.stop();
  t.is(said().at(-1), 'told');
});

test('a part that does not obey is killed, with what it has started', async (t) => {
  const { part, folder } = supervise(`
    import { spawn } from 'node:child_process'; import { writeFileSync } from 'node:fs';
    const child = spawn(process.execPath, ['-e', "process.on('SIGTERM', () => {}); setInterval(() => {}, 1000)"]);
    writeFileSync(process.env.FOLDER + '/pid', String(child.pid)); process.on('SIGTERM', () => {}); ${READY} ${FOREVER}`);
  await part.ready;
  const pid = Number(readFileSync(join(folder, 'pid'), 'utf8'));
  const start = startTime(pid)!;
  await part.stop();
  t.false(alive(pid, start));
});

test('a part that dies is started again, whoever killed it', async (t) => {
  const { part, folder, said } = supervise(
    `import { writeFileSync } from 'node:fs'; writeFileSync(process.env.FOLDER + '/pid', String(process.pid)); ${READY} ${FOREVER}`,
  );
  await part.ready;
  const pid = () => readFileSync(join(folder, 'pid'), 'utf8');
  const first = pid();
  process.kill(Number(first), 'SIGKILL');
  await until(() => said().filter((line) => line.includes('ready')).length === 2 && pid() !== first, 'a second life');
  t.pass();
  await part.stop();
});

test('a part that lives and has not worked for long is started again, and one that only stumbles is not', async (t) => {
  let sick = false;
  let checks = 0;
  const check = () => Promise[++checks % 2 === 0 || sick ? 'reject' : 'resolve'](new Error('interrupted'));
  const { part, said } = supervise(`${READY} ${FOREVER}`, { check, every: 20, patience: 2_000 });
  const lives = () => said().filter((line) => line.includes('ready')).length;
  await part.ready;
  const begun = performance.now();
  await until(() => performance.now() - begun > 4_000, 'twice as long as it may be sick');
  t.true(checks > 2);
  t.is(lives(), 1);
  sick = true;
  await until(() => lives() === 2, 'a second life');
  sick = false;
  await part.stop();
});

test('a part that cannot be started again is tried again until it can, and takes nothing else with it', async (t) => {
  const { part, folder, said } = supervise(
    `import { writeFileSync } from 'node:fs'; writeFileSync(process.env.FOLDER + '/pid', String(process.pid)); ${READY} ${FOREVER}`,
  );
  await part.ready;
  const lifeline = join(folder, 'lifeline');
  rmSync(lifeline); // as where no process can be made
  const [write, words] = [console.error, [] as string[]];
  console.error = (line: string) => void words.push(line);
  t.teardown(() => (console.error = write));
  process.kill(Number(readFileSync(join(folder, 'pid'), 'utf8')), 'SIGKILL');
  await until(() => words.filter((line) => line.includes('The small script cannot be started (ENOENT')).length > 1, 'it is tried twice');
  makeLifeline(lifeline);
  await until(() => said().filter((line) => line.includes('ready')).length === 2, 'a second life');
  t.pass();
  await part.stop();
});

test.serial(
  'a part whose processes outlive a kill, as on a busy machine, is stopped once more, and takes nothing else with it',
  async (t) => {
    const { part, said } = supervise(`${READY} console.log(Date.now()); setTimeout(() => process.exit(1), 500);`);
    const { stop } = Subprocess.prototype;
    const [write, words] = [console.error, [] as string[]];
    console.error = (line: string) => void words.push(line);
    t.teardown(() => {
      console.error = write;
      Subprocess.prototype.stop = stop;
    });
    await part.ready;
    let outlived = 0;
    Subprocess.prototype.stop = function (grace) {
      return outlived++ === 0 ? Promise.reject(new Error('they have not ended')) : stop.call(this, grace);
    };
    await until(() => said().filter((line) => line.includes('ready')).length === 2, 'a second life');
    t.true(words.some((line) => line.includes('the small script cannot be stopped (they have not ended); it is tried again in 10000 ms')));
    await part.stop();
  },
);

test('a part that ends again and again waits longer each time', async (t) => {
  const { part, said } = supervise(`${READY} console.log(Date.now());`);
  await part.ready;
  await until(() => said().filter((line) => /^\d+$/.test(line)).length >= 4, 'four lives');
  await part.stop();
  const lives = said()
    .filter((line) => /^\d+$/.test(line))
    .map(Number);
  const gaps = lives.slice(1, 4).map((at, i) => at - lives[i]!);
  t.true(gaps[0]! >= 200 && gaps[1]! >= 400 && gaps[2]! >= 800);
});

test('a part that never works is not tried for ever: its last words are in the sentence', async (t) => {
  const { part } = supervise(`console.error('no such device'); process.exit(3);`);
  const error = await t.throwsAsync(part.ready);
  t.regex(error.message, /The small script ended with exit code 3 before it was ready\.[^]*no such device/);
  await part.stop();
});

test('what an earlier life has written is not in the sentence of this one', async (t) => {
  const folder = temporary();
  const log = join(folder, 'log');
  appendFileSync(log, 'an old complaint {"ready":true}\n');
  const part = new Supervised({
    name: 'part',
    command: ['sh', '-c', 'echo new; exit 1'],
    env: {},
    log,
    folder,
    lifeline: makeLifeline(join(folder, 'lifeline')).path,
    grace: 100,
  });
  const error = await t.throwsAsync(part.ready);
  t.regex(error.message, /new/);
  t.notRegex(error.message, /old complaint/);
});
