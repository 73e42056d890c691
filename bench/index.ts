/** `npm run bench -- NAME`: runs one bench, prints its table, and writes it with the machine into `bench/results/NAME.json`. */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { machine } from './support.ts';

const benches: Record<string, () => Promise<() => Promise<object[]>>> = {
  textworld: async () => (await import('./textworld.ts')).textworld,
  start: async () => (await import('./start.ts')).start,
  recovery: async () => (await import('./recovery.ts')).recovery,
  crashes: async () => (await import('./crashes.ts')).crashes,
};

const name = process.argv[2] ?? '';
const load = benches[name];
if (!load) {
  console.error(`There is no bench "${name}". These are: ${Object.keys(benches).join(', ')}.`);
  process.exit(64);
}
const rows = await (await load())();
console.table(rows);
const folder = join(import.meta.dirname, 'results');
await mkdir(folder, { recursive: true });
await writeFile(join(folder, `${name}.json`), `${JSON.stringify({ made: new Date().toISOString(), machine: machine(), rows }, null, 1)}\n`);
