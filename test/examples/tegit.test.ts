/** TeGit on the text world: what it would do, and whether its passages are as it says. */
import test from 'ava';
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { plan } from '../../plan/planner.ts';
import { openServices } from '../../steps/services.ts';
import { loadExperiment } from '../../experiments/config.ts';
import { documents, meta } from '../../examples/textworld/tegit.ts';
import { isRight } from '../../examples/textworld/oracle.ts';
import { World } from '../../examples/textworld/world.ts';
import type { Source, Task } from '../../operators/tegit/records.ts';

const { bound } = await loadExperiment(join(import.meta.dirname, '../../examples/textworld/tegit.yaml'));
const full = { seed: 0, size: 'full' } as const;

test('the experiment on the text world can run, and trains the wrapper, the student and its control', async (t) => {
  const { steps, missing, warnings } = await plan(await openServices(await mkdtemp(join(tmpdir(), 'backspin-tegit-'))), bound);
  t.deepEqual([missing, warnings], [[], []]);
  t.deepEqual(steps.flatMap(({ path, kind }) => (kind === 'train' ? path : [])).toSorted(), ['student', 'text/student', 'wrapper']);
});

test('no passage is the answer to its task, which begins it; and none of the meta-set is told again', (t) => {
  const world = new World(0);
  const learnt = [...(meta.rows(full, []) as Iterable<Task>)];
  t.is(learnt.length, 1000);
  for (const { text, instruction, output } of learnt) {
    t.true(isRight(world, { instruction, response: output }));
    t.false(isRight(world, { instruction, response: text }));
    t.true(text.startsWith(`${output} `));
  }
  const told = [...(documents.rows(full, []) as Iterable<Source>)].map(({ text }) => text);
  t.is(new Set(told).size, 864);
  t.false(learnt.some(({ text }) => told.includes(text)));
});
