import test from 'ava';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { engineIdentity, repeats } from '../../devices/engines/index.ts';
import { vllm } from '../../devices/engines/vllm.ts';
import { sweep } from '../../devices/processes.ts';
import { ModelServer, type ServerOptions } from '../../devices/server.ts';
import { Slots } from '../../devices/slots.ts';
import { Transport } from '../../inference/transport.ts';
import { serving as schema, type VllmServing } from '../../schemas/serving.ts';
import { place, serving, until, type Place } from '../support/devices.ts';

const never = new AbortController().signal;
const python = join(import.meta.dirname, '../support/fake-vllm.mjs');
const options = (more: object = {}) => schema.parse({ engine: 'vllm', python, version: '0.0.1', ...more }) as VllmServing;

/** Folders of a base and of adapters with their ranks. */
function weights(p: Place, ranks: Readonly<Record<string, number>>) {
  const at = (name: string) => join(p.folder, name);
  for (const [name, r] of Object.entries({ base: 0, ...ranks })) {
    mkdirSync(at(name), { recursive: true });
    if (r > 0) writeFileSync(join(at(name), 'adapter_config.json'), JSON.stringify({ r }));
  }
  const adapter = (name: string) => [name, { folder: at(name), base: at('base') }] as const;
  return { base: at('base'), adapters: (...names: string[]) => Object.fromEntries(names.map(adapter)) };
}
const flags = (command: readonly string[]) => command.filter((one) => one.startsWith('--'));

async function start(p: Place, engine: ServerOptions['engine'], more: Partial<ServerOptions> = {}) {
  const slot = await new Slots({ home: p.home, pool: 'cpu', groups: [[]], reapAfter: 600_000 }).acquire(never);
  return ModelServer.start({ ...serving(p), engine, slot, signal: never, ...more });
}
async function served(server: ModelServer): Promise<Record<string, string | null>> {
  const { url, key } = await server.endpoint(never);
  const reply = await fetch(`${url}/v1/models`, { headers: { authorization: `Bearer ${key}` } });
  const { data } = (await reply.json()) as { data: { id: string; root: string; parent: string | null }[] };
  return Object.fromEntries(data.map(({ id, parent }) => [id, parent]));
}

test('vLLM is started on the loopback with what the experiment says, and its key stands in the environment alone', async (t) => {
  const p = place(t);
  const { base, adapters } = weights(p, { forward: 8, backward: 20 });
  const engine = vllm(
    options({ slots: 100, dtype: 'float16', maxModelLength: 512, tensorParallel: 2, dataParallel: 3 }),
    adapters('forward', 'backward'),
  );
  const { command, env } = await engine.prepare(p.folder, 'secret');
  t.deepEqual(command.slice(0, 5), [python, '-m', 'vllm.entrypoints.cli.main', 'serve', base]);
  const port = readFileSync(join(p.folder, 'port'), 'utf8');
  const module = (name: string) => JSON.stringify({ name, path: join(p.folder, name), base_model_name: 'base' });
  for (const flag of `--host=127.0.0.1 --port=${port} --served-model-name=base --generation-config=vllm --max-num-seqs=100 --dtype=float16 --max-model-len=512 --tensor-parallel-size=2 --data-parallel-size=3 --enable-lora --max-loras=2 --max-lora-rank=32 --lora-modules ${module('forward')} ${module('backward')}`.split(
    ' ',
  ))
    t.true(command.includes(flag), flag);
  t.false(command.some((one) => one.includes('secret')));
  t.like(env, { VLLM_API_KEY: 'secret', VLLM_ALLOW_RUNTIME_LORA_UPDATING: '1', VLLM_NO_USAGE_STATS: '1', HF_HUB_OFFLINE: '1' });
});

test('whole weights are served under their own name, without adapters', async (t) => {
  const p = place(t);
  const { base } = weights(p, {});
  const { command } = await vllm(options(), { digest: { folder: base, base: null } }).prepare(p.folder, 'secret');
  t.true(command.includes('--served-model-name=digest'));
  t.false(command.some((one) => one.includes('lora')));
});

test('every argument that is set for vLLM is refused among those that a person adds', async (t) => {
  const p = place(t);
  const { adapters } = weights(p, { forward: 8 });
  const { command } = await vllm(options({ maxModelLength: 512 }), adapters('forward')).prepare(p.folder, 'secret');
  for (const name of flags(command).map((flag) => flag.slice(2).replace(/=.*/, ''))) {
    for (const written of [name, `no-${name}`, `${name}.x`, name.slice(0, -1)])
      t.false(schema.safeParse({ engine: 'vllm', arguments: { [written]: 1 } }).success, written);
  }
});

test('other arguments are passed as a person wrote them', async (t) => {
  const p = place(t);
  const { base } = weights(p, {});
  const more = {
    'gpu-memory-utilization': 0.8,
    'enforce-eager': true,
    'enable-prefix-caching': false,
    'compilation-config.mode': 3,
    'allowed-origins': ['a', 'b'],
    'hf-overrides': { rope: { theta: 1 } },
  };
  const { command } = await vllm(options({ arguments: more }), { m: { folder: base, base: null } }).prepare(p.folder, 'secret');
  t.deepEqual(command.slice(-8), [
    '--gpu-memory-utilization=0.8',
    '--enforce-eager',
    '--no-enable-prefix-caching',
    '--compilation-config.mode=3',
    '--allowed-origins',
    'a',
    'b',
    '--hf-overrides={"rope":{"theta":1}}',
  ]);
});

test('what changes a reply is part of what a step is; speed, memory and devices are not', (t) => {
  const is = (more: object) => engineIdentity(options(more));
  t.is(is({ slots: 8, tensorParallel: 2, pool: 'gpu', arguments: { 'gpu-memory-utilization': 0.5 } }), is({}));
  for (const more of [{ dtype: 'float32' }, { version: '0.0.2' }, { maxModelLength: 64 }, { arguments: { quantization: 'fp8' } }])
    t.not(is(more), is({}));
  t.false(repeats(options()));
  const embedded = (more: object) => engineIdentity(schema.parse({ engine: 'embedded', ...more }));
  t.is(embedded({ slots: 8, threads: 1, pool: 'gpu' }), embedded({}));
  t.not(embedded({ maxModelLength: 64 }), embedded({}));
});

test('models of two bases do not fit one server', (t) => {
  const two = { a: { folder: '/a', base: null }, b: { folder: '/b', base: '/c' } };
  t.throws(() => vllm(options(), two), { name: 'ConfigError', message: /has one base model, and this step asks 2: \/a, \/c/ });
});

test('a warm server is taken over by a lease of other adapters of its base: those that go are unloaded, those that come are loaded', async (t) => {
  const p = place(t);
  const { base, adapters } = weights(p, { one: 8, two: 8, three: 8 });
  const pool = new Slots({ home: p.home, pool: 'cpu', groups: [[]] });
  const lease = async (key: string, models: Parameters<typeof vllm>[1]) => {
    const engine = vllm(options(), models);
    await using slot = await pool.acquire(never, { key, warm: engine.warmth });
    const server = await ModelServer.start({ ...serving(p), key, engine, slot, signal: never });
    const names = await served(server);
    await server.keepWarm();
    return names;
  };
  t.deepEqual(await lease('serve.1', adapters('one')), { base: null, one: 'base' });
  t.deepEqual(await lease('serve.2', adapters('two', 'three')), { base: null, two: 'base', three: 'base' });
  t.is(p.starts().length, 1);
  writeFileSync(join(p.folder, 'refuse'), '');
  t.deepEqual(await lease('serve.3', adapters('one')), { base: null, one: 'base' });
  t.is(p.starts().length, 2);
  t.deepEqual(await lease('serve.4', { whole: { folder: base, base: null } }), { whole: null });
  t.is(p.starts().length, 3);
  await pool.close();
});

test('a server with room for adapters answers for its base and for whatever adapters come, whoever is first: one start', async (t) => {
  const p = place(t);
  const { base, adapters } = weights(p, { one: 8, two: 20 });
  const alone = { digest: { folder: base, base: null } };
  const pool = new Slots({ home: p.home, pool: 'cpu', groups: [[]] });
  const lease = async (key: string, models: Parameters<typeof vllm>[1], maxLoraRank: number) => {
    const engine = vllm(options({ maxLoraRank }), models, 'digest');
    await using slot = await pool.acquire(never, { key, warm: engine.warmth });
    const server = await ModelServer.start({ ...serving(p), key, engine, slot, signal: never });
    const names = await served(server);
    await server.keepWarm();
    return Object.keys(names).toSorted();
  };
  t.deepEqual(await lease('serve.1', alone, 20), ['digest']);
  t.deepEqual(await lease('serve.2', adapters('one'), 20), ['digest', 'one']);
  t.deepEqual(await lease('serve.3', adapters('two'), 20), ['digest', 'two']);
  t.deepEqual(await lease('serve.4', alone, 20), ['digest']);
  t.is(p.starts().length, 1);
  t.deepEqual(await lease('serve.5', alone, 0), ['digest']);
  t.is(p.starts().length, 2, 'one without room is another server');
  await pool.close();
});

test('an engine that stands still behind a server that answers is noticed; one that works is left alone, however long it takes', async (t) => {
  const p = place(t);
  const { base } = weights(p, {});
  const file = (name: string) => join(p.folder, name);
  const health = { every: 20, timeout: 3_000, misses: 3 };
  const server = await start(p, vllm(options(), { m: { folder: base, base: null } }), { health });
  const before = await server.endpoint(never);
  writeFileSync(file('busy'), '');
  writeFileSync(file('stall'), '');
  const counter = async () => /\} (\S+)/.exec(await (await fetch(`${before.url}/metrics`)).text())![1]!;
  await until(async () => Number(await counter()) > 50);
  t.is(await server.endpoint(never), before);
  const { marker } = p.record()!;
  rmSync(file('busy'));
  await until(() => p.starts().length === 2);
  rmSync(file('stall'));
  await until(async () => (await server.endpoint(never)) !== before);
  t.deepEqual(sweep(marker), []);
  await server.stop();
});

test('what a server that shuts down refuses waits until it is known to be gone, and is asked of the next', async (t) => {
  const p = place(t);
  const { base } = weights(p, {});
  const health = { every: 20, timeout: 10_000, misses: 20 };
  const server = await start(p, vllm(options(), { m: { folder: base, base: null } }), { health });
  const { url } = await server.endpoint(never);
  await t.throwsAsync(fetch(`${url}/close`));
  const transport = new Transport({ endpoint: (signal, silent) => server.endpoint(signal, silent), sockets: 1, tries: 2, pause: 1 });
  t.deepEqual(await transport.request('post', '/v1/completions', {}, { requestId: 'r', signal: never }), {});
  t.is(p.starts().length, 2);
  await server.stop();
});

test('another version of vLLM than the experiment was launched for is said, not served', async (t) => {
  const p = place(t);
  const { base } = weights(p, {});
  writeFileSync(join(p.folder, 'version'), '');
  await t.throwsAsync(start(p, vllm(options(), { m: { folder: base, base: null } })), {
    name: 'ConfigError',
    message: /has vLLM 0\.0\.2, and the experiment was launched for 0\.0\.1/,
  });
  t.is(p.record(), undefined);
});

test('a group of too few devices is said before anything starts', async (t) => {
  const p = place(t);
  const { base } = weights(p, {});
  const engine = vllm(options({ tensorParallel: 2, dataParallel: 2 }), { m: { folder: base, base: null } });
  const slot = await new Slots({ home: p.home, pool: 'gpu', groups: [['GPU-a', 'GPU-b']] }).acquire(never);
  await t.throwsAsync(ModelServer.start({ ...serving(p), engine, slot, signal: never }), {
    name: 'ConfigError',
    message: /compute on 4 devices .* group gpu-0 has 2/,
  });
  t.deepEqual(p.starts(), []);
});

test('an argument that vLLM does not know is said in its words, and not tried again', async (t) => {
  const p = place(t);
  const { base } = weights(p, {});
  const engine = vllm(options({ arguments: { 'no-such-thing': true } }), { m: { folder: base, base: null } });
  await t.throwsAsync(start(p, engine), { name: 'ConfigError', message: 'vllm serve: error: unrecognized arguments: --no-such-thing' });
});

test('an engine without a Python is told where to name one', (t) => {
  t.throws(() => vllm(options({ python: null }), { m: { folder: '/m', base: null } }), {
    name: 'ConfigError',
    message: /BACKSPIN_VLLM_PYTHON/,
  });
});
