/** `npm run bench -- NAME`: runs one bench, prints its tables, and writes its measurements and the machine to `bench/results/NAME.json`.
 *  Exit code 1 if a bound is not met. */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { busy, machine, meets, sources, type Result } from './support.ts';

const benches: Record<string, () => Promise<() => Promise<Result>>> = {
  throughput: async () => (await import('./throughput.ts')).throughput,
  lognormal: async () => (await import('./throughput.ts')).lognormal,
  storm: async () => (await import('./throughput.ts')).storm,
  scale: async () => (await import('./scale.ts')).scale,
  recovery: async () => (await import('./recovery.ts')).recovery,
  crashes: async () => (await import('./crashes.ts')).crashes,
  handover: async () => (await import('./handover.ts')).handover,
  engine: async () => (await import('./engine.ts')).engine,
  smollm2: async () => (await import('./engine.ts')).smollm2,
  training: async () => (await import('./training.ts')).training,
  score: async () => (await import('./score.ts')).score,
  start: async () => (await import('./start.ts')).start,
  records: async () => (await import('./records.ts')).records,
  main: async () => (await import('./recipes.ts')).main,
  'cycle-instruct': async () => (await import('./recipes.ts')).cycleInstruct,
  musc: async () => (await import('./recipes.ts')).musc,
  crab: async () => (await import('./recipes.ts')).crab,
  tegit: async () => (await import('./recipes.ts')).tegit,
  air: async () => (await import('./recipes.ts')).air,
  textworld: async () => (await import('./textworld.ts')).textworld,
};

const name = process.argv[2] ?? '';
const load = benches[name];
if (!load) {
  console.error(`There is no bench "${name}". These are: ${Object.keys(benches).join(', ')}.`);
  process.exit(64);
}
const before = busy();
const { rows, bounds = [] } = await (await load())();
const told = bounds.map((bound) => ({ ...bound, met: meets(bound) }));
console.table(rows);
if (told.length > 0) console.table(told);
const folder = join(import.meta.dirname, 'results');
await mkdir(folder, { recursive: true });
const result = {
  made: new Date().toISOString(),
  sources: sources(),
  machine: machine(),
  load: { before, after: busy() },
  rows,
  bounds: told,
};
await writeFile(join(folder, `${name}.json`), `${JSON.stringify(result, null, 1)}\n`);
process.exit(bounds.every(meets) ? 0 : 1);
