/** Works on a store in a process of its own: `store-child.ts WHAT ROOT ...`. Prints a line at each checkpoint. */
import fs from 'node:fs/promises';
import { syncBuiltinESMExports } from 'node:module';
import type { Output } from '../../schemas/store.ts';

const [what, root, ...args] = process.argv.slice(2) as [string, string, ...string[]];
const say = (line: string) => new Promise<void>((done) => process.stdout.write(`${line}\n`, () => done()));
const forEver = () => new Promise<never>(() => setInterval(() => {}, 1 << 30));

/** Runs `instead` in place of the real call for the first path that contains `part`. */
function at(call: 'rename' | 'link', part: string, instead: () => Promise<void>): void {
  const real = fs[call];
  fs[call] = async (from, to) => (String(to).includes(part) ? instead() : real(from, to));
  syncBuiltinESMExports();
}
const stop = async () => {
  await say('there');
  await forEver();
};
if (what === 'stop') at(args[0] as 'rename' | 'link', args[1]!, stop);
if (what === 'full') at('link', 'datasets', () => Promise.reject(Object.assign(new Error('no space'), { code: 'ENOSPC' })));

const { openStore } = await import('../../store/local.ts');
const { put, record, records } = await import('./store.ts');
const store = await openStore(root);

if (what === 'outputs') {
  await say('ready');
  for await (const chunk of process.stdin) {
    for (const text of String(chunk).trim().split('\n')) await say(JSON.stringify(await store.putOutput(JSON.parse(text) as Output)));
  }
} else if (what === 'uncommitted') {
  const writer = store.write('test@1');
  for (let n = 0; n < 25_000; n++) await writer.add(record({ n, text: '' }));
  await stop();
} else if (what === 'many') {
  const writer = store.write('test@1');
  for (let n = 0; n < Number(args[0]); n++) await writer.add(record({ n, text: `${n} `.repeat(80) }));
  const ref = await writer.commit('exact');
  let rows = 0;
  for await (const row of store.read(ref)) if (row.id) rows++;
  await say(JSON.stringify({ rows, megabytes: process.resourceUsage().maxRSS / 1024 }));
} else {
  await put(store, records(100)).then(
    (ref) => say(ref.digest),
    (error: { type?: string; message: string; retryable?: boolean }) =>
      say(JSON.stringify({ type: error.type, message: error.message, retryable: error.retryable })),
  );
}
