/** The course's homework, from a name to a name: `examples/homework.yaml` launched by the command line on stand-ins for the Hub's model and
 *  datasets, to its end; its model exported, pushed, and planned by the name that it then has. The base is a small random model with
 *  Qwen3's chat template, so nothing is said of what it has learnt; it is a Llama, since the embedded engine runs no other. */
import { execFile } from 'node:child_process';
import { globSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import test from 'ava';
import type { View } from '../../experiments/view.ts';
import { root, temporary } from '../cli/cli.ts';
import { realPython } from '../support/devices.ts';
import { hubHome } from '../support/hub-home.ts';
import { thinking } from '../support/templates.ts';

/** Few rows and steps; a random model writes no end of turn and no rating. */
const sets = {
  serving: { engine: 'embedded', slots: 4, maxModelLength: 1024 },
  'data.seed.params.limit': 8,
  'data.corpus.params.limit': 12,
  'parameters.minimum': 1,
  'parameters.judge': 'expected',
  'parameters.judgeCheck.pairs': 4,
  'parameters.keep': { share: 0.5 },
  'parameters.instructionChars': { min: 1, max: 800 },
  'parameters.sampling.backtranslate': { temperature: 1, maxTokens: 64, stop: ['e', 'a', ' '] },
  'parameters.sft.length': { steps: 2 },
  'parameters.sft.batch': 2,
  'parameters.sft.maxTokens': 512,
  'evaluation.forward.params.sampling': { temperature: 1, maxTokens: 16 },
};

test('the homework runs to its end by names, and its model can be pushed and named in turn', async (t) => {
  t.timeout(1_800_000);
  const { hub, home, env, run } = await hubHome(t);
  const folder = temporary();
  writeFileSync(join(folder, 'chat.jinja'), thinking);
  const made = [
    join(root, 'test/support/random-model.py'),
    'Llama',
    join(folder, 'chat.jinja'),
    join(root, 'examples/textworld/tokenizer'),
  ];
  await promisify(execFile)(realPython(), [...made, join(folder, 'model')]);
  hub.publish('models', 'Qwen/Qwen3-1.7B', join(folder, 'model'));
  const rows = (row: (n: number) => object) => Array.from({ length: 20 }, (_, n) => `${JSON.stringify(row(n))}\n`).join('');
  hub.publish('datasets', 'timdettmers/openassistant-guanaco', {
    'openassistant_best_replies_train.jsonl': rows((n) => ({ text: `### Human: What is ${n}?### Assistant: It is ${n}.### Human: So?` })),
  });
  hub.publish('datasets', 'GAIR/lima', { 'train.jsonl': rows((n) => ({ conversations: [`What is ${n}?`, `It is the number ${n}.`] })) });

  t.teardown(() => run('down'));
  const changes = Object.entries(sets).flatMap(([path, value]) => ['--set', `${path}=${JSON.stringify(value)}`]);
  const launched = await run('launch', join(root, 'examples/homework.yaml'), ...changes, '--watch');
  t.is(launched.code, 0, launched.stdout + launched.stderr);
  const view = JSON.parse((await run('status', 'homework', '--json')).stdout) as View;
  t.is(view.state, 'completed');
  const at = (path: string) => view.steps.find((step) => step.path === path)!;
  t.like(at('data-seed'), { kept: 8 });
  t.like(at('backtranslate'), { in: 12 });
  t.true(at('r1/curated').kept! >= 1);
  t.true(at('r1/judge-check').numbers!.includes('auc'));
  const pair = (await run('show', 'homework', 'data-seed', '--limit', '1')).stdout;
  t.regex(pair, /instruction: What is 0\?\nresponse: It is 0\./);

  const to = join(home, 'exported');
  const exported = await run('export', 'homework', '--to', to);
  t.is(exported.code, 0, exported.stderr);
  const push = `import sys; from huggingface_hub import HfApi
api = HfApi(token="hf_course")
api.create_repo("student/homework", exist_ok=True)
api.upload_folder(repo_id="student/homework", folder_path=sys.argv[1])`;
  await promisify(execFile)(realPython(), ['-c', push, to], { env: { ...process.env, ...env } });
  const pushed = hub.files('models', 'student/homework')!;
  const files = globSync('**', { cwd: to }).filter((name) => statSync(join(to, name)).isFile());
  t.deepEqual([...pushed.keys()].filter((name) => name !== '.gitattributes').toSorted(), files.toSorted());
  for (const name of files) t.true(pushed.get(name)!.equals(readFileSync(join(to, name))), name);
  t.regex(pushed.get('README.md')!.toString(), /Qwen\/Qwen3-1\.7B/);
  const again = await run(
    'plan',
    join(root, 'examples/homework.yaml'),
    ...changes,
    '--set',
    'models.base.hub="student/homework"',
    '--set',
    'name=again',
  );
  t.is(again.code, 0, again.stdout + again.stderr);
});
