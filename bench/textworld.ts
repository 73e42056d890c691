/** `npm run bench -- textworld`: what Humpback learns on the text world, on three data seeds, beside the controls that must fail. */
import { resolve } from 'node:path';
import { homeFor, type Result, type Row } from './support.ts';

const FILE = resolve(import.meta.dirname, '../examples/textworld/humpback.yaml');
const SEEDS = [0, 1, 2];
/** Another choice of the 24 labelled things, of the corpus and its tests, and other samples and trainings. */
function seeded(seed: number, replay = true): string[] {
  const data = ['seed', 'corpus', ...(replay ? ['replay'] : [])].map(
    (name) => `${name}: { source: textworld.${name}, params: { seed: ${seed} } }`,
  );
  const suites = { forward: 'forward', backward: 'backward', curated: 'pairs' };
  const evaluation = Object.entries(suites).map(([name, suite]) => `${name}: { suite: textworld.${suite}, params: { seed: ${seed} } }`);
  return ['--set', `seed=${seed}`, '--set', `data={ ${data.join(', ')} }`, '--set', `evaluation={ ${evaluation.join(', ')} }`];
}
const number = (row: Row | undefined, name: string) => Number((row?.[name] as number | undefined)?.toFixed(3) ?? NaN);

export async function textworld(): Promise<Result> {
  const home = await homeFor('textworld');
  const table: object[] = [];
  for (const seed of SEEDS) {
    const name = `seed-${seed}`;
    const began = performance.now();
    await home.run('launch', FILE, '--name', name, ...seeded(seed), '--watch');
    const { metrics } = await home.status(name);
    const at = (round: number, arm: string | null = null) => metrics.find((one) => one.round === round && one.arm === arm);
    table.push({
      seed,
      M_0: number(at(0), 'forwardExact'),
      backward: number(at(0), 'backwardExact'),
      M_1: number(at(1), 'forwardExact'),
      M_2: number(at(2), 'forwardExact'),
      'random, round 2': number(at(2, 'random'), 'forwardExact'),
      'pool precision': number(at(0), 'keptPrecision'),
      'kept precision': number(at(2), 'keptPrecision'),
      'kept adverts': number(at(2), 'keptAdvertShare'),
      seconds: Math.round((performance.now() - began) / 1000),
    });
    // Without the rated lines the judge is forgotten in one training: the experiment must stand at its gate.
    const control = await home.try('launch', FILE, '--name', `${name}-no-replay`, ...seeded(seed, false), '--watch');
    const waiting = (await home.status(`${name}-no-replay`)).attention[0];
    table.push({
      seed,
      control: 'no rated lines',
      exit: control,
      waits: waiting === undefined ? 'no' : `${waiting.path}: ${waiting.reason}`,
    });
  }
  await home.down();
  return { rows: table };
}
