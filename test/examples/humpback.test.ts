import { copyFile, mkdir, mkdtemp, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import test from 'ava';
import { plan } from '../../activities/planner.ts';
import { openServices } from '../../activities/services.ts';
import { loadExperiment } from '../../cli/config.ts';
import { recipeSchemas } from '../../schemas/recipes/index.ts';

const root = resolve(import.meta.dirname, '../..');

test('the example on real data is what the paper does, once its data is there', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'backspin-example-'));
  const file = join(folder, 'humpback.yaml');
  await copyFile(join(root, 'examples/humpback.yaml'), file);
  await mkdir(join(folder, 'humpback'));
  await symlink(join(root, 'examples/textworld/base/plain'), join(folder, 'humpback/base'));
  await writeFile(join(folder, 'humpback/seed.jsonl'), '{"prompt":"Why?","answer":"Because."}\n{"prompt":"no answer"}\n');
  const text = `# On tides\n\n${Array.from({ length: 100 }, (_, i) => `word${i * i}`).join(' ')}`;
  await writeFile(join(folder, 'humpback/documents.jsonl'), `${JSON.stringify({ text })}\n`);

  const { bound } = await loadExperiment(file);
  const { steps, missing } = await plan(await openServices(join(folder, 'home')), bound);
  const trained = steps.flatMap(({ kind, path, trainingSteps }) => (kind === 'train' ? [`${path}: ${trainingSteps}`] : []));
  t.deepEqual(trained, [
    'backward: 30',
    'forward: 30',
    'r1/forward: 30',
    'r1/random/forward: 30',
    'r2/forward: 30',
    'r2/random/forward: 30',
  ]);
  t.deepEqual(missing, []);
  const { arms, nearDuplicates, ...rest } = bound.parameters as Record<string, unknown>;
  const {
    arms: _,
    nearDuplicates: __,
    ...defaults
  } = recipeSchemas['humpback']!.parameters.parse({ sft: { schedule: 'linear' } }) as Record<string, unknown>;
  t.deepEqual(rest, defaults);
  t.deepEqual([arms, nearDuplicates], [['random'], 0.7]);
});
