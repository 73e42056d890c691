/** What is long holds up nothing else in a data worker. */
import test from 'ava';
import { mkdtemp, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { stepsOf } from '../../steps/work.ts';
import { Threads } from '../../activities/threads.ts';
import { openServices } from '../../steps/services.ts';
import { moduleDigest } from '../../steps/registry.ts';
import type { DatasetRef } from '../../schemas/call.ts';
import { BackspinError } from '../../schemas/errors.ts';
import { call, context as plain } from '../support/keys.ts';
import { put, records } from '../support/store.ts';

const module = `import * as b from 'backspin'; import { z } from 'zod'; export const namespace = 'mine';
  const spin = (ms) => { for (const end = performance.now() + ms; performance.now() < end;); };
  export const slow = b.reducer({ version: 1, params: z.object({ ms: z.number() }),
    async *run({ of }, { ms }) { for await (const record of of) { spin(ms); yield { record }; } } });
  export const wrong = b.reducer({ version: 1, async *run({ of }) { null.there; } });
  export const dates = b.source({ version: 1, output: z.object({ at: z.coerce.date() }), rows: () => [{ at: '2026-01-01' }] });`;
const folder = await mkdtemp(join(tmpdir(), 'backspin-'));
const path = join(folder, 'mine.ts');
await writeFile(path, module);
const context = { ...plain, modules: [{ path, digest: await moduleDigest(path) }] };
const services = await openServices(folder, { lowWater: 0 });
const threads = new Threads(services);
const over = await put(services.store, records(4));
const slow = (ms: number, label = 'slow') => ({ ...call('reduce', 'mine.slow', { inputs: { of: over }, params: { ms } }), label });
const signal = new AbortController().signal;

test('a computation in a thread gives what it gives here, while this thread goes on', async (t) => {
  let beats = 0;
  const timer = setInterval(() => beats++, 20);
  const there = await threads.run({ verb: 'compute', args: [slow(100), context] }, signal);
  clearInterval(timer);
  t.true(beats >= 10, `${beats} beats within 400 ms`);
  const here = await stepsOf(services).compute(slow(100), context, { signal, heartbeat: () => {} });
  t.deepEqual(here, { ...there, cached: true });
  t.is((there.result as DatasetRef).rows, over.rows);
});

test('its errors come out as what they are', async (t) => {
  const error = await t.throwsAsync(
    threads.run({ verb: 'compute', args: [call('reduce', 'source:mine.dates', { folder: '/' }), context] }, signal),
    { instanceOf: BackspinError, name: 'SchemaError' },
  );
  t.regex(error.message, /A Date at at cannot be stored/);
  t.is(error.type, 'SchemaError');
  await t.throwsAsync(threads.run({ verb: 'compute', args: [call('reduce', 'mine.wrong', { inputs: { of: over } }), context] }, signal), {
    name: 'TypeError',
    message: /reading 'there'/,
  });
});

test('a cancellation ends it in the midst of a loop, and the next computation runs', async (t) => {
  const cancelled = new AbortController();
  const endless = threads.run({ verb: 'compute', args: [slow(1e9), context] }, cancelled.signal);
  setTimeout(() => cancelled.abort(new Error('cancelled')), 500);
  await t.throwsAsync(endless, { message: 'cancelled' });
  t.truthy(await threads.run({ verb: 'compute', args: [slow(1, 'next'), context] }, signal));
});

test('who reads a long shard and computes meanwhile lets timers have their turn', async (t) => {
  const rows = await put(services.store, records(500));
  let beats = 0;
  const timer = setInterval(() => beats++, 20);
  for await (const { id } of services.store.read(rows)) for (const end = performance.now() + 1; performance.now() < end; id.at(0));
  clearInterval(timer);
  t.true(beats >= 5, `${beats} beats within 500 ms`);
});
