/** Exports of datasets, read by the libraries that they are meant for: `datasets` and `huggingface_hub` of the trainer's environment. */
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { loadExperiment } from '../../experiments/config.ts';
import { readSetup } from '../../host/setup.ts';
import { openStore } from '../../store/local.ts';
import { sha256 } from '../../schemas/canonical.ts';
import type { Step } from '../../schemas/experiment.ts';
import type { Output } from '../../schemas/store.ts';
import { importedDefaults } from '../../steps/import-model.ts';
import { base, experiment, hubHome } from '../support/hub-home.ts';
import { backspin, file, temporary } from './cli.ts';
import { dataset, giveAgain, home as homeOf, key, step } from './completed.ts';

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

/** An experiment whose base model and seed come from the Hub, with a judge's prompt in Jinja, a training and its evaluation. */
const published = test.macro(
  async (t, check: (t: ExecutionContext, made: { folder: string; env: NodeJS.ProcessEnv; commit: string }) => Promise<void>) => {
    t.timeout(600_000);
    const { hub, home: place, env } = await hubHome(t);
    Object.assign(process.env, env);
    const commit = hub.publish('models', 'toy/base', {
      ...Object.fromEntries(readdirSync(base).map((name) => [name, readFileSync(join(base, name))])),
      'README.md': '---\nlicense: other\nlicense_name: toy-community\n---\nA model.',
    });
    hub.publish('datasets', 'toy/pairs', {
      'README.md': '---\nlicense: cc-by-sa-4.0\n---\n',
      'train.jsonl': `${JSON.stringify({ instruction: 'a', input: '', output: 'b' })}\n`,
    });
    file(place, 'judge.jinja', '{% user %}Rate {{ instruction }}: {{ response }}{% enduser %}');
    const yaml = file(
      place,
      'cards.yaml',
      `license: cc-by-4.0\n${experiment('toy/base', '{ source: std.hub, params: { repository: toy/pairs, format: alpaca } }')}`.replace(
        'parameters: {',
        "parameters: { prompts: { judge: './judge.jinja' },",
      ),
    );
    const { bound, digest } = await loadExperiment(yaml);
    const folder = await homeOf({ name: 'other' });
    const store = await openStore(join(folder, 'store'));
    const origin = await store.putModel(base, { ...importedDefaults, state: 'weights', determinism: 'exact' });
    const about = { base: null, template: null, settings: {}, steps: 2, lastLearningRate: 0, determinism: 'exact' } as const;
    const seed = await dataset(store, [{ instruction: 'a', response: 'b' }]);
    const model = await store.putModel(
      base,
      { ...about, state: 'weights', from: origin.digest, dataset: seed.digest },
      { 'more.json': yaml },
    );
    const point = (at: number) => ({ step: at, loss: 1 / at, learningRate: 0, tokens: 1, seconds: 1, validationLoss: 2 / at });
    const curve = { records: await dataset(store, [point(1), point(2)]), last: point(2), best: point(2) };
    const report = { kind: 'report', digest: key('report'), metrics: { exact: 0.5 }, oracle: false } as const;
    const made = async (path: string, change: Partial<Output>, more: Partial<Step> = {}): Promise<Step> => {
      const before = await step(store, path, seed);
      await giveAgain(store, path, { inputs: [], ...change });
      return { ...before, result: change.result ?? seed, kind: change.verb ?? 'map', operation: change.operation ?? 'toy.judge', ...more };
    };
    const { prompts } = bound.parameters as { prompts: Record<string, string> };
    const judgement = {
      inputs: [seed.digest, origin.digest],
      params: { prompts },
      versions: { [prompts.judge!]: 1, [prompts.backtranslate!]: 2 },
      sources: { 'operators/humpback/prompts.ts': key('prompts') },
      uses: { [origin.digest]: { requests: 7, read: 300, written: 20 } },
    };
    const steps = [
      await made('model-base', { verb: 'reduce', operation: 'model:hub', result: origin, in: 0, kept: 0 }),
      await made('data-seed', { verb: 'reduce', operation: 'source:std.hub' }),
      await made('r1/judge', judgement),
      await made('r1/forward', { verb: 'train', operation: 'sft', result: model, inputs: [seed.digest, origin.digest], curve }),
      await made('r1/evaluate-forward', { verb: 'evaluate', operation: 'toy.suite', result: report, in: 4, inputs: [model.digest] }),
      await made('r2/evaluate-forward', { verb: 'evaluate', operation: 'toy.suite', result: { ...report, metrics: { exact: 0.75 } } }),
      await made('unused', { operation: 'toy.unused' }),
    ];
    const record = (await store.experiment('other'))!;
    await store.putExperiment({ ...record, name: 'toy', recipe: 'humpback', config: bound, configDigest: digest, steps });
    await check(t, { folder, env, commit });
  },
);
const cardOf = async (t: ExecutionContext, { folder, env }: { folder: string; env: NodeJS.ProcessEnv }, ...args: string[]) => {
  const into = join(folder, `card-${args.join('-').replaceAll('/', '-')}`);
  const { code, stderr } = await backspin(folder, ['export', 'toy', ...args, '--to', into], env);
  t.is(code, 0, stderr);
  return { path: join(into, 'README.md'), text: readFileSync(join(into, 'README.md'), 'utf8') };
};

/** What `huggingface_hub` makes of the head of a card, after it has written it once more. */
function headOf(kind: 'ModelCard' | 'DatasetCard', path: string): Record<string, unknown> {
  const code = `import json, sys; from huggingface_hub import ${kind} as Card
data = Card.load(sys.argv[1]).data
assert Card('---\\n' + data.to_yaml() + '\\n---\\n').data.to_dict() == data.to_dict()
print(json.dumps(data.to_dict()))`;
  return JSON.parse(execFileSync(readSetup().python, ['-c', code, path], { encoding: 'utf8' })) as Record<string, unknown>;
}

test.serial(
  'a dataset card names licenses, lineage, the models that answered, prompts by hash, and how to launch it',
  published,
  async (t, made) => {
    const { path, text } = await cardOf(t, made, 'r1/judge');
    const prompt = sha256('{% user %}Rate {{ instruction }}: {{ response }}{% enduser %}');
    for (const row of [
      '| license | cc-by-4.0 |',
      '| model `base`, toy/base | other, toy-community |',
      '| dataset `seed`, toy/pairs | cc-by-sa-4.0 |',
      '| `model-base` | `model:hub` | – | – |  |',
      '| `r1/judge` | `toy.judge` | 3 | 2 | 1 no-score |',
      `| \`humpback.backward\` | 2 | operators/humpback/prompts.ts \`${key('prompts')}\` |`,
      `| \`jinja.p${prompt}\` | 1 | judge.jinja \`${prompt}\` |`,
    ])
      t.true(text.includes(`\n${row}\n`), row);
    t.regex(text, new RegExp(`^\\| toy/base at main, commit ${made.commit} \\| \`[0-9a-f]{64}\` \\| 7 \\| 300 \\| 20 \\|$`, 'm'));
    t.false(text.includes('unused'), 'only steps that led to it');
    t.like(headOf('DatasetCard', path), { license: 'cc-by-4.0', source_datasets: ['toy/pairs'] });

    const again = file(temporary(), 'toy.yaml', /```yaml\n([^]*?)```/.exec(text)![1]!);
    const { bound } = await loadExperiment(again);
    t.like(bound, { license: 'cc-by-4.0', models: { base: { hub: 'toy/base', revision: made.commit, commit: made.commit } } });
    t.is((bound.parameters as { prompts: { judge: string } }).prompts.judge, `jinja.p${prompt}`);
  },
);

test.serial(
  'a model card has the data with counts, the curve and the metrics until its round, in a head that huggingface_hub reads',
  published,
  async (t, made) => {
    const { path, text } = await cardOf(t, made, 'r1/forward', '--license', 'mit');
    for (const row of [
      '| license | mit |',
      '| `r1/forward` | `data-seed` | 1 | 2 | 0.500 | 1 at step 2 |',
      '| 2 | 0.500 | 1 |',
      '| 1 | exact | 0.500 | 0.150 to 0.850 (95 % of 4 items) |',
    ])
      t.true(text.includes(`\n${row}\n`), row);
    t.false(text.includes('| 2 | exact'), 'no later round');
    t.deepEqual(headOf('ModelCard', path), {
      license: 'mit',
      library_name: 'transformers',
      pipeline_tag: 'text-generation',
      tags: ['backspin', 'humpback'],
      base_model: 'toy/base',
      datasets: ['toy/pairs'],
      'model-index': [
        {
          name: 'toy',
          results: [
            {
              task: { type: 'text-generation' },
              dataset: { type: 'toy.suite', name: 'evaluate-forward' },
              metrics: [{ type: 'exact', value: 0.5 }],
            },
          ],
        },
      ],
    });
  },
);

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
