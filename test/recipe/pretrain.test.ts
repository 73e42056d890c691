import { mkdtemp, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import test from 'ava';
import type { ModelRef } from '../../schemas/call.ts';
import { runInMemory } from '../../recipe/memory.ts';
import { recipeSchemas } from '../../schemas/recipes/index.ts';
import { recipes } from '../../workflows/recipes/index.ts';
import { bench } from '../support/memory.ts';

const tokenizer = resolve(import.meta.dirname, '../../examples/textworld/tokenizer');
const architecture = { hiddenSize: 8, layers: 1, heads: 1, headSize: 8, kvHeads: 1, mlp: 8, context: 16, tied: true, std: 0.02 };

/** A base whose answers are `reply`, and that must answer half of what it is asked. */
async function pretrained(reply: string, tail: boolean) {
  const folder = await mkdtemp(join(tmpdir(), 'backspin-pretrain-'));
  await writeFile(join(folder, 'text.jsonl'), '{"text":"one"}\n{"text":"two"}\n');
  const text = { source: 'std.table', params: { path: 'text.jsonl' }, folder };
  const made = await bench({ reply: () => reply });
  const lm = { learningRate: 1e-3, length: { steps: 9 }, batch: 2, maxTokens: 16, optimizer: 'muon' };
  const memory = runInMemory(
    recipes['pretrain']!,
    {
      parameters: recipeSchemas['pretrain']!.parameters.parse({
        lm,
        tailLm: { length: { steps: 3 } },
        minimum: { answered: 0.5 },
      }) as object,
      data: tail ? { text, tail: text } : { text },
      models: { base: { init: { architecture, tokenizer, seed: 0 } } },
      evaluation: { base: { id: 'humpback.answers', params: { instructions: ['Why?'] } } },
    },
    (call) => made.perform(call),
  );
  return { memory, made };
}

test('a base that has learnt enough goes on to its tail', async (t) => {
  const { memory, made } = await pretrained('Because.', true);
  const { model, untailed } = (await memory).results as { model: ModelRef; untailed: ModelRef };
  t.deepEqual(
    made.trainings.map(({ call, spec: { objective, optimizer, steps }, model }) => [call.path, objective, optimizer, steps, model]),
    [
      ['base', 'lm', 'muon', 9, untailed],
      ['tailed', 'lm', 'muon', 3, model],
    ],
  );
  t.is((await made.services.store.model(model)).from, untailed.digest);
  t.not(made.trainings[0]!.spec.init, null);
});

test('without a tail the base is the model', async (t) => {
  const { memory } = await pretrained('Because.', false);
  const { model, untailed } = (await memory).results as { model: ModelRef; untailed: ModelRef };
  t.deepEqual(model, untailed);
});

test('a base that has not learnt enough stands at its gate, which says what it lacks', async (t) => {
  const { memory } = await pretrained('', true);
  t.deepEqual((await memory).short, [{ path: 'gate', round: null, short: 'wants answered of at least 0.5 and has 0' }]);
});
