/** The cards of exports, and what `huggingface_hub` of the trainer's environment reads of them. */
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { loadExperiment } from '../../experiments/config.ts';
import { readSetup } from '../../host/setup.ts';
import { sha256 } from '../../schemas/canonical.ts';
import type { Step } from '../../schemas/experiment.ts';
import type { Output } from '../../schemas/store.ts';
import { importedDefaults } from '../../steps/import-model.ts';
import { openStore } from '../../store/local.ts';
import { base, experiment, hubHome } from '../support/hub-home.ts';
import { backspin, file, temporary } from './cli.ts';
import { dataset, giveAgain, home as homeOf, key, step } from './completed.ts';

/** An experiment whose base model and seed come from the Hub, with a judge's prompt in Jinja. */
async function bindPublished(t: ExecutionContext) {
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
  return { ...(await loadExperiment(yaml)), yaml, env, commit };
}

/** Such an experiment with a training and its evaluation. */
const published = test.macro(
  async (t, check: (t: ExecutionContext, made: { folder: string; env: NodeJS.ProcessEnv; commit: string }) => Promise<void>) => {
    t.timeout(600_000);
    const { bound, digest, yaml, env, commit } = await bindPublished(t);
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
