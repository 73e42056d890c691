/** The code of docs/authoring.md: it compiles against the interface as it is, and its module binds. */
import { execFile } from 'node:child_process';
import { cpSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import test from 'ava';
import { parse, stringify } from 'yaml';
import { loadExperiment } from '../../experiments/config.ts';
import { loadRegistry } from '../../steps/registry.ts';
import type { Plan } from '../../schemas/plan.ts';
import { backspin, file, root, temporary } from '../cli/cli.ts';

const blocks = (language: string): readonly string[] =>
  [...readFileSync(join(root, 'docs/authoring.md'), 'utf8').matchAll(/^```(\w+)\n(.*?)^```$/gms)]
    .filter(([, of]) => of === language)
    .map(([, , code]) => code!);
const [recipe, operator, module, ...files] = blocks('ts') as [string, string, string, ...string[]];
const [use, small] = blocks('yaml') as [string, string];

/** What the page leaves out of its blocks. */
const aroundRecipe = `
import { mix, select, type Chat, type Dataset, type Model, type Op, type Recipe, type Sampling, type Settings, type Template } from 'backspin';
type Segment = { readonly text: string };
type Pair = { readonly instruction: string; readonly response: string };
type Asking = { readonly prompt: string; readonly sampling: Sampling };
interface HumpbackConfig {
  readonly base: Model; readonly seed: Dataset<Pair>; readonly corpus: Dataset<Segment>; readonly sft: Settings;
  readonly rounds: number; readonly threshold: number; readonly prompts: { readonly backtranslate: string; readonly judge: string }; readonly sampling: Sampling;
}
declare const toInstruction: Template<Pair, Chat>, toResponse: Template<Pair, Chat>;
declare const backtranslate: Op<Segment, Pair, 'backward', Asking>, judge: Op<Pair, Pair & { score: number }, 'scorer', Asking>;
`;
const aroundOperator = `
import { z } from 'zod';
import { drop, keep, operator, type Sampling } from 'backspin';
const pair = z.object({ instruction: z.string(), response: z.string() });
const judged = pair.extend({ score: z.number() });
declare const sampling: z.ZodType<Sampling>;
declare const parseScore: (text: string) => number | undefined;
`;

test('the code on the page compiles', async (t) => {
  const folder = temporary();
  for (const [name, code] of Object.entries({ recipe: aroundRecipe + recipe, operator: aroundOperator + operator, module }))
    file(folder, `${name}.ts`, code);
  const paths = { backspin: [join(root, 'recipe/index.ts')], zod: [join(root, 'node_modules/zod/index.d.ts')] };
  const compilerOptions = { paths, typeRoots: [join(root, 'node_modules/@types')] };
  file(folder, 'tsconfig.json', JSON.stringify({ extends: join(root, 'tsconfig.json'), compilerOptions, include: ['*.ts'] }));
  file(folder, 'package.json', '{ "type": "module" }');
  await promisify(execFile)(join(root, 'node_modules/.bin/tsc'), ['-p', folder]).catch(({ stdout }: { stdout: string }) => t.fail(stdout));
  t.pass();
});

test('the module on the page lies anywhere, binds in an experiment, and is what it plans with', async (t) => {
  const folder = temporary();
  file(folder, 'mine.ts', module);
  const world = join(root, 'examples/textworld');
  const demo = parse(readFileSync(join(world, 'humpback.yaml'), 'utf8')) as Given;
  const mine = parse(use) as Given;
  const { templates, prompts } = demo.parameters;
  const path = file(
    folder,
    'mine.yaml',
    stringify({
      ...demo,
      modules: [join(world, 'module.ts'), ...mine.modules],
      models: { base: { path: join(world, 'base/rated') } },
      parameters: {
        ...demo.parameters,
        templates: { ...templates, ...mine.parameters.templates },
        prompts: { ...prompts, ...mine.parameters.prompts },
      },
    }),
  );
  const { bound } = await loadExperiment(path);
  const registry = await loadRegistry(bound.modules);
  const named = (bound.parameters as Given['parameters']).prompts['backtranslate']!;
  t.deepEqual(registry.prompt(named).render({ text: 'Because.' } as never), {
    messages: [{ role: 'user', content: 'What was asked?\n\nBecause.' }],
  });
  const planned = await backspin(folder, ['plan', path, '--json']);
  t.is(planned.code, 0, planned.stderr);
});

test('the small recipe on the page is three files and a line in each registry: it compiles, and is planned', async (t) => {
  const checkout = temporary();
  for (const name of readdirSync(root))
    if (!['node_modules', '.git', '.backspin', 'test', 'bench', 'docs'].includes(name))
      cpSync(join(root, name), join(checkout, name), { recursive: true });
  symlinkSync(join(root, 'node_modules'), join(checkout, 'node_modules'));
  t.is(files.length, 3);
  for (const code of files) {
    const path = join(checkout, /^\/\/ (\S+)$/m.exec(code)![1]!);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, code);
  }
  const registered = (path: string, change: (text: string) => string) => {
    const text = readFileSync(join(checkout, path), 'utf8');
    t.not(change(text), text, path);
    writeFileSync(join(checkout, path), change(text));
  };
  const page = readFileSync(join(root, 'docs/authoring.md'), 'utf8');
  const [space, line] = [`sdft: () => import('./sdft/index.ts'),`, `import { sdft } from './sdft.ts';`];
  t.true(page.includes(`\`${space}\``) && page.includes(`\`${line}\``));
  registered('operators/index.ts', (text) => text.replace('};', `  ${space}\n};`));
  registered('schemas/recipes/index.ts', (text) => `${line}\n${text.replace(/,?\s\};/, ', sdft };')}`);
  registered('workflows/recipes/index.ts', (text) => `${line}\n${text.replace('\n};', '\n  sdft,\n};')}`);
  await promisify(execFile)(join(root, 'node_modules/.bin/tsc'), ['-p', checkout]).catch(({ stdout }: { stdout: string }) =>
    t.fail(stdout),
  );

  const experiment = file(join(checkout, 'examples/textworld'), 'distilled.yaml', small);
  const env = { ...process.env, BACKSPIN_HOME: join(checkout, '.backspin') };
  const { stdout } = await promisify(execFile)(process.execPath, [join(checkout, 'cli/backspin.js'), 'plan', experiment, '--json'], {
    env,
  });
  const { steps, missing } = JSON.parse(stdout) as Plan;
  t.deepEqual(missing, []);
  t.deepEqual(
    steps.map(({ path }) => path),
    ['data-pairs', 'model-base', 'distil', 'tuned', 'evaluate'],
  );
});

interface Given {
  readonly modules: readonly string[];
  readonly parameters: Readonly<Record<'templates' | 'prompts', Readonly<Record<string, string>>>>;
}
