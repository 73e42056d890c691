import test from 'ava';
import { existsSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { alive, self, startTime, sweep } from '../../devices/processes.ts';
import { ModelServer, type ServerOptions } from '../../devices/server.ts';
import { Slots } from '../../devices/slots.ts';
import { engine, owner, place, serving, until, type Place } from '../support/devices.ts';

const never = new AbortController().signal;
async function start(p: Place, more: Partial<ServerOptions> = {}) {
  const slot = await new Slots({ home: p.home, pool: 'cpu', groups: [[]], reapAfter: 600_000 }).acquire(never);
  return ModelServer.start({ ...serving(p), slot, signal: never, ...more });
}
const answers = (url: string) =>
  fetch(`${url}/health`).then(
    (reply) => reply.ok,
    () => false,
  );

test('a started server answers, and its key is readable by its owner alone', async (t) => {
  const p = place(t);
  const server = await start(p);
  const { url, key } = await server.endpoint(never);
  t.is(await (await fetch(`${url}/x`, { headers: { authorization: `Bearer ${key}` } })).text(), 'with key');
  t.is(statSync(join(p.folder, 'key')).mode & 0o777, 0o600);
  await server.stop();
});

test('stopping leaves no process, no answer and no slot file', async (t) => {
  const p = place(t);
  const server = await start(p);
  const { url } = await server.endpoint(never);
  const { marker } = p.record()!;
  t.true(sweep(marker).length >= 3); // launcher, server, and its grandchild
  await server.stop();
  t.deepEqual(sweep(marker), []);
  t.false(await answers(url));
  t.is(p.record(), undefined);
});

test('a killed server comes back by itself, elsewhere, without its old grandchild', async (t) => {
  const p = place(t);
  const server = await start(p);
  const before = await server.endpoint(never);
  const { marker } = p.record()!;
  process.kill(p.starts()[0]!, 'SIGKILL');
  const after = await until(async () => {
    const endpoint = await server.endpoint(never);
    return endpoint !== before && endpoint;
  });
  t.true(await answers(after.url));
  t.not(after.key, before.key);
  t.deepEqual(sweep(marker), []);
  t.is(p.starts().length, 2);
  await server.stop();
});

test('a server that hangs is stopped and started again', async (t) => {
  const p = place(t);
  const server = await start(p, { health: { every: 50, timeout: 500, misses: 4 } });
  const before = await server.endpoint(never);
  const { marker } = p.record()!;
  writeFileSync(join(p.folder, 'hang'), '');
  await until(() => p.record()?.marker !== marker);
  rmSync(join(p.folder, 'hang'));
  await until(async () => (await server.endpoint(never)) !== before);
  t.deepEqual(sweep(marker), []);
  await server.stop();
});

test('it says whether it serves or starts, and since when', async (t) => {
  const p = place(t);
  const before = Date.now();
  const server = await start(p);
  const first = server.state;
  t.is(first.state, 'serving');
  t.true(first.since >= before && first.since <= Date.now());
  t.deepEqual(server.state, first);
  writeFileSync(join(p.folder, 'hang'), '');
  process.kill(p.starts()[0]!, 'SIGKILL');
  const down = await until(() => server.state.state === 'starting' && server.state);
  t.true(down.since >= first.since);
  rmSync(join(p.folder, 'hang'));
  t.true((await until(() => server.state.state === 'serving' && server.state)).since >= down.since);
  await server.stop();
});

test('while it is down its endpoint waits, and whoever waits can give up', async (t) => {
  const p = place(t);
  const server = await start(p);
  const before = await server.endpoint(never);
  writeFileSync(join(p.folder, 'hang'), '');
  process.kill(p.starts()[0]!, 'SIGKILL');
  await until(() => p.starts().length === 2);
  const giveUp = new AbortController();
  const waiting = server.endpoint(giveUp.signal);
  giveUp.abort(new Error('enough'));
  await t.throwsAsync(waiting, { message: 'enough' });
  const patient = server.endpoint(never);
  rmSync(join(p.folder, 'hang'));
  t.not(await patient, before);
  await server.stop();
});

test('the third crash is a crash loop, with the last words of the log', async (t) => {
  const p = place(t);
  writeFileSync(join(p.folder, 'fail'), '1 out of luck');
  await t.throwsAsync(start(p), { name: 'CrashLoop', message: /with exit code 1[^]*out of luck/ });
  t.is(p.starts().length, 3);
  t.is(p.record(), undefined);
});

test('an exit code that says what is wrong is not tried again', async (t) => {
  for (const [code, name] of [
    ['64', 'ConfigError'],
    ['66', 'ConfigError'],
    ['73', 'DiskFull'],
  ] as const) {
    const p = place(t);
    writeFileSync(join(p.folder, 'fail'), `${code} The model folder is empty.`);
    await t.throwsAsync(start(p), { name, message: 'The model folder is empty.' });
    t.is(p.starts().length, 1);
    t.is(p.record(), undefined);
  }
});

test('a server given up rejects `failed` and every endpoint', async (t) => {
  const p = place(t);
  const server = await start(p);
  writeFileSync(join(p.folder, 'fail'), '66 The model is gone.');
  process.kill(p.starts()[0]!, 'SIGKILL');
  await t.throwsAsync(server.failed, { name: 'ConfigError' });
  await t.throwsAsync(server.endpoint(never), { name: 'ConfigError' });
  await server.stop();
  t.is(p.record(), undefined);
});

test('an abort while it starts leaves nothing', async (t) => {
  const p = place(t);
  writeFileSync(join(p.folder, 'hang'), '');
  const abort = new AbortController();
  const starting = start(p, { signal: abort.signal });
  const { marker } = await until(p.started);
  abort.abort(new Error('cancelled'));
  await t.throwsAsync(starting, { message: 'cancelled' });
  t.deepEqual(sweep(marker), []);
  t.is(p.record(), undefined);
});

test('a server outlives its killed worker and the next one adopts it: same process, same key, still watched', async (t) => {
  const p = place(t);
  const dying = owner(t, p, 'serve', serving(p));
  const before = await until(p.started);
  await until(() => existsSync(join(p.folder, 'ready.json')));
  const died = new Promise((done) => dying.once('exit', done));
  dying.kill('SIGKILL');
  await died;
  t.true(alive(before.pgid!, before.pgStart!));

  const server = await start(p, { attempt: 2 });
  t.is(p.starts().length, 1);
  t.deepEqual(p.record(), { ...before, owner: self.pid, ownerStart: self.start, attempt: 2 });
  const adopted = await server.endpoint(never);
  t.is(await (await fetch(`${adopted.url}/x`, { headers: { authorization: `Bearer ${adopted.key}` } })).text(), 'with key');
  process.kill(p.starts()[0]!, 'SIGKILL');
  await until(async () => (await server.endpoint(never)) !== adopted);
  t.is(p.starts().length, 2);
  await server.stop();
  t.deepEqual(sweep(before.marker), []);
});
test('a server that was left is adopted with its process', async (t) => {
  const p = place(t);
  const first = await start(p);
  await first.leave();
  const second = await start(p, { attempt: 2 });
  t.is(p.starts().length, 1);
  t.is(startTime(p.record()!.pgid!), p.record()!.pgStart!);
  await second.stop();
});

test('a warm server serves the next models without a start, and one that does not take them is replaced', async (t) => {
  const p = place(t);
  const pool = new Slots({ home: p.home, pool: 'cpu', groups: [[]] });
  const lease = async (key: string, served: string) => {
    await using slot = await pool.acquire(never);
    const server = await ModelServer.start({ ...serving(p), key, engine: engine(served, `/${served}`), slot, signal: never });
    const { url } = await server.endpoint(never);
    await server.keepWarm();
    return url;
  };
  const url = await lease('serve.first', 'm');
  t.is(await lease('serve.second', 'n'), url);
  t.deepEqual(JSON.parse(readFileSync(join(p.folder, 'loaded'), 'utf8')), { n: { folder: '/n', base: null } });
  t.is(p.starts().length, 1);
  writeFileSync(join(p.folder, 'stubborn'), '');
  t.not(await lease('serve.third', 'o'), url);
  t.is(p.starts().length, 2);
  await pool.close();
  t.is(p.record(), undefined);
});

test('a server that does not answer is not kept warm', async (t) => {
  const p = place(t);
  const server = await start(p);
  process.kill(p.starts()[0]!, 'SIGKILL');
  writeFileSync(join(p.folder, 'hang'), '');
  await until(() => p.starts().length === 2);
  await server.keepWarm();
  t.is(p.record(), undefined);
});

test('a server ends with its worker where the worker holds the lifeline', async (t) => {
  const p = place(t);
  const dying = owner(t, p, 'serve', serving(p));
  const { marker } = await until(p.started);
  dying.kill('SIGKILL');
  p.lifeline.close();
  await until(() => sweep(marker).length === 0);
  t.pass();
});
