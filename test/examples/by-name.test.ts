/** The examples that name a model and data on the Hub, on stand-ins for both: the first run of docs/first-run.md, and the homework. */
import { execFile } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import test from 'ava';
import type { Plan } from '../../schemas/plan.ts';
import { root, temporary } from '../cli/cli.ts';
import { realPython } from '../support/devices.ts';
import { hubHome } from '../support/hub-home.ts';
import { naming, thinking } from '../support/templates.ts';

async function randomModel(kind: string, template: string): Promise<string> {
  const folder = temporary();
  const path = join(folder, 'chat.jinja');
  writeFileSync(path, template);
  const program = join(root, 'test/support/random-model.py');
  await promisify(execFile)(realPython(), [program, kind, path, join(root, 'examples/textworld/tokenizer'), join(folder, 'model')]);
  return join(folder, 'model');
}

test('the first run is planned from the name of a model', async (t) => {
  t.timeout(1_200_000);
  const { hub, run } = await hubHome(t);
  hub.publish('models', 'HuggingFaceTB/SmolLM2-135M-Instruct', await randomModel('Llama', naming));
  const planned = await run('plan', join(root, 'examples/smollm2/humpback.yaml'), '--json');
  t.is(planned.code, 0, planned.stderr);
  const { steps, missing } = JSON.parse(planned.stdout) as Plan;
  t.deepEqual(missing, []);
  t.true(steps.find(({ path }) => path === 'backtranslate')!.in! > 0);
});

test('the homework is planned from names alone', async (t) => {
  t.timeout(1_200_000);
  const { hub, run } = await hubHome(t);
  hub.publish('models', 'Qwen/Qwen3-1.7B', await randomModel('Qwen3', thinking));
  const rows = (row: (n: number) => object) => Array.from({ length: 160 }, (_, n) => `${JSON.stringify(row(n))}\n`).join('');
  hub.publish('datasets', 'timdettmers/openassistant-guanaco', {
    'openassistant_best_replies_train.jsonl': rows((n) => ({ text: `### Human: What is ${n}?### Assistant: A number.` })),
  });
  hub.publish('datasets', 'GAIR/lima', { 'train.jsonl': rows((n) => ({ conversations: [`What is ${n}?`, `It is the number ${n}.`] })) });
  const planned = await run('plan', join(root, 'examples/homework.yaml'), '--json', '--set', 'serving.version="0.20.0"'); // vLLM is not here
  t.is(planned.code, 0, planned.stderr);
  const { steps, missing } = JSON.parse(planned.stdout) as Plan;
  t.deepEqual(missing, []);
  t.like(
    steps.find(({ path }) => path === 'backtranslate'),
    { in: 150 },
    JSON.stringify(steps.map(({ path }) => path)),
  );
});
