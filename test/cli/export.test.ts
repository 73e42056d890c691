/** Exports of datasets, read by the libraries that they are meant for: `datasets` and `huggingface_hub` of the trainer's environment. */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { readSetup } from '../../host/setup.ts';
import { openStore } from '../../store/local.ts';
import { backspin } from './cli.ts';
import { dataset, home as homeOf, step } from './completed.ts';

/** Each of these has broken a reader: lists and objects, null at first, whole numbers before others, several types, odd names. */
const hard = [
  { instruction: 'a', response: 'b', input: '', list: [], of: { a: 1, b: null }, late: null, score: 4, mixed: 1, 'a "b"': ['x'] },
  { instruction: 'c\u2028"\u202e', response: 'd', input: 'about', list: ['x'], of: { a: 2 }, late: 'z', score: 4.5, mixed: { k: [] } },
  { instruction: 'e', response: null, input: null, list: ['y'], of: null, late: 'z', score: 1, mixed: 'text' },
];
const preferences = [
  { instruction: 'a', chosen: { text: 'good', ids: [1], weights: [0.5] }, rejected: { text: 'bad', ids: [2], weights: [1] } },
];
const dialogues = [
  { messages: [{ role: 'system', content: 's' }, ...['user', 'assistant'].map((role) => ({ role, content: role }))] },
  { messages: [{ role: 'user', content: 'unanswered' }] },
];

let folder: string;
const to = (name: string) => join(folder, name);
const run = (name: string, ...args: string[]) => backspin(folder, ['export', 'toy', ...args, '--to', to(name)]);

test.before(async () => {
  folder = await homeOf();
  const store = await openStore(join(folder, 'store'));
  const gone = await dataset(store, [{ id: 'a', reason: 'no-score', evidence: null, value: { text: 'x', of: [1, 'y'] } }]);
  const steps = [
    await step(store, 'hard', await dataset(store, hard), gone),
    await step(store, 'preferences', await dataset(store, preferences)),
    await step(store, 'dialogues', await dataset(store, dialogues)),
  ];
  await store.putExperiment({ ...(await store.experiment('toy'))!, steps });
});

const READ = `
import json, sys
from datasets import load_dataset
from huggingface_hub import DatasetCard
answers = {}
for folder in sys.argv[2:]:
    card = DatasetCard.load(folder + '/README.md').data.to_dict()
    names = [one['config_name'] for one in card['configs']]
    loaded = {name: load_dataset(folder, name, split='train', cache_dir=sys.argv[1]) for name in names}
    answers[folder.split('/')[-1]] = {name: {'rows': rows.to_list(), 'types': {k: str(v) for k, v in rows.features.items()}} for name, rows in loaded.items()}
print(json.dumps(answers))
`;
interface Loaded {
  readonly rows: readonly Record<string, unknown>[];
  readonly types: Readonly<Record<string, string>>;
}

const exports = [
  ['jsonl', 'hard'],
  ['parquet', 'hard', '--format', 'parquet'],
  ['sft', 'hard', '--format', 'trl-sft'],
  ['alpaca', 'hard', '--format', 'alpaca'],
  ['sharegpt', 'hard', '--format', 'sharegpt'],
  ['dpo', 'preferences', '--format', 'trl-dpo'],
  ['turns', 'dialogues', '--format', 'trl-sft'],
  ['shared', 'dialogues', '--format', 'sharegpt'],
] as const;

/** By name of the export and of the configuration. */
function loadedBack(): Record<string, Record<string, Loaded>> {
  const env = { ...process.env, HF_HUB_OFFLINE: '1', HF_HUB_DISABLE_TELEMETRY: '1', HF_HOME: to('hf') };
  const folders = exports.map(([name]) => to(name));
  const said = execFileSync(readSetup().python, ['-c', READ, to('cache'), ...folders], {
    env,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  return JSON.parse(said) as Record<string, Record<string, Loaded>>;
}

test('load_dataset reads every format, with the dropped records as a second configuration', async (t) => {
  t.timeout(1_200_000);
  for (const [name, ...args] of exports) {
    const { code, stdout, stderr } = await run(name, ...args);
    t.is(code, 0, stderr);
    if (name === 'sft') t.regex(stdout, /data\.jsonl: 2 records; 1 lack what trl-sft needs and are left out/);
  }
  const loaded = loadedBack();

  for (const format of ['jsonl', 'parquet']) {
    const { default: data, dropped } = loaded[format]!;
    t.is(data!.rows.length, 3, format);
    t.like(data!.rows[1], {
      instruction: hard[1]!.instruction,
      list: ['x'],
      of: { a: 2, b: null },
      late: 'z',
      score: 4.5,
      mixed: '{"k":[]}',
    });
    t.regex(data!.types['score']!, /float64/);
    t.deepEqual(dropped!.rows, [{ id: 'a', reason: 'no-score', evidence: null, value: dropped!.rows[0]!['value'] }]);
    t.deepEqual(JSON.parse(dropped!.rows[0]!['value'] as string), { of: [1, 'y'], text: 'x' });
  }
  t.deepEqual(loaded['sft']!['default']!.rows[1], {
    prompt: [{ role: 'user', content: `${hard[1]!.instruction}\n\nabout` }],
    completion: [{ role: 'assistant', content: 'd' }],
  });
  t.deepEqual(loaded['alpaca']!['default']!.rows[0], { instruction: 'a', input: '', output: 'b' });
  t.deepEqual(loaded['sharegpt']!['default']!.rows[0], {
    conversations: [
      { from: 'human', value: 'a' },
      { from: 'gpt', value: 'b' },
    ],
  });
  t.deepEqual(loaded['dpo']!['default']!.rows, [
    {
      prompt: [{ role: 'user', content: 'a' }],
      chosen: [{ role: 'assistant', content: 'good' }],
      rejected: [{ role: 'assistant', content: 'bad' }],
    },
  ]);
  t.deepEqual(loaded['turns']!['default']!.rows, [
    { prompt: dialogues[0]!.messages.slice(0, 2), completion: dialogues[0]!.messages.slice(2) },
  ]);
  t.deepEqual(
    (loaded['shared']!['default']!.rows[0]!['conversations'] as { from: string }[]).map(({ from }) => from),
    ['system', 'human', 'gpt'],
  );
});

test('a card tells counts, reasons, versions and the whole configuration', async (t) => {
  t.is((await run('card', 'hard')).code, 0);
  const card = readFileSync(join(to('card'), 'README.md'), 'utf8');
  t.regex(card, /^\| dropped as no-score \| 1 \|$/m);
  t.regex(card, /^```yaml\n[^]*^ {2}keep:\n {4}threshold: 5$/m);
});

test('a license that nobody gave is unknown, and one that is no identifier is refused', async (t) => {
  t.is((await run('unlicensed', 'hard')).code, 0);
  const card = readFileSync(join(to('unlicensed'), 'README.md'), 'utf8');
  t.regex(card, /^\| license \| unknown: none was given \|$/m);
  t.notRegex(card, /^license:/m);
  const { code, stderr } = await run('licensed', 'hard', '--license', 'Apache License');
  t.is(code, 1);
  t.regex(stderr, /--license: "Apache License" must be an identifier of the Hugging Face Hub such as apache-2\.0/);
});

test('records without the fields of a format are refused with those that they have, and nothing is written', async (t) => {
  const { code, stderr } = await run('none', 'hard', '--format', 'trl-dpo');
  t.is(code, 1);
  t.regex(
    stderr,
    /The records of hard have no prompt with a chosen and a rejected answer, which trl-dpo needs; they have id, .*instruction/,
  );
  t.throws(() => readFileSync(join(to('none'), 'README.md')));
});
