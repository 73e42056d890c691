import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import test from 'ava';
import { differences } from '../../experiments/difference.ts';
import { loadExperiment, rebind } from '../../experiments/config.ts';
import { contextOf } from '../../recipe/inputs.ts';
import { grantAll } from '../../steps/grants.ts';
import { loadRegistry } from '../../steps/registry.ts';
import { promptId } from '../../steps/prompt-files.ts';
import { openStore } from '../../store/local.ts';
import { temporary } from '../cli/cli.ts';
import { fault, sound, write } from './written.ts';

const judge = '{% user %}\nRate {{ instruction }}: {{ response }}\n{% enduser %}\n';
const named = (prompts: string) => `${sound}  prompts: { ${prompts} }\n`;
/** An experiment file with a prompt file beside it. */
function written(text: string, prompts = 'judge: ./judge.jinja'): { readonly file: string; readonly jinja: string } {
  const file = write(named(prompts));
  const jinja = join(dirname(file), 'judge.jinja');
  writeFileSync(jinja, text);
  return { file, jinja };
}
const judgeOf = ({ parameters }: { readonly parameters: object }) => (parameters as { prompts: { judge: string } }).prompts.judge;

test('a prompt file is bound by its content, wherever it is', async (t) => {
  const { file, jinja } = written(judge);
  const { bound } = await loadExperiment(file);
  const id = judgeOf(bound);
  t.is(bound.modules.at(-1)!.path, jinja);
  t.is(id, promptId(bound.modules.at(-1)!.digest));
  const registry = await loadRegistry(bound.modules);
  t.deepEqual(registry.prompt(id).render({ instruction: 'a', response: 'b' } as never), {
    messages: [{ role: 'user', content: 'Rate a: b' }],
  });

  mkdirSync(join(dirname(file), 'prompts'));
  renameSync(jinja, join(dirname(file), 'prompts/other.jinja'));
  writeFileSync(file, named('judge: prompts/other.jinja'));
  t.is(judgeOf((await loadExperiment(file)).bound), id);
  writeFileSync(join(dirname(file), 'prompts/other.jinja'), judge.replace('Rate', 'Grade'));
  t.not(judgeOf((await loadExperiment(file)).bound), id);
});

const faults: readonly (readonly [title: string, text: string, prompts: string, says: RegExp])[] = [
  [
    'a wrong variable',
    judge.replace('response', 'answer'),
    'judge: ./judge.jinja',
    /experiment\.yaml:14:\d+ parameters\.prompts\.judge: \/.*judge\.jinja:2: there is no variable "answer"; the prompt has instruction, response/,
  ],
  ['a syntax error', '{% user %}\n{{ a b }}{% enduser %}', 'judge: ./judge.jinja', /judge\.jinja:2: Expected closing/],
  ['no user turn', '{% system %}{% endsystem %}', 'judge: ./judge.jinja', /judge\.jinja:1: it has no \{% user %\}/],
  ['no such file', judge, 'judge: ./juge.jinja', /prompts\.judge: The prompt file \/.*juge\.jinja cannot be read \(ENOENT\)/],
  [
    'a file of another kind',
    judge,
    'judge: ./judge.txt',
    /prompts\.judge: is "\.\/judge\.txt", which does not fit: a registered prompt such as humpback\.curation, or a Jinja file/,
  ],
  ['a slot of another prompt', judge, 'backtranslate: ./judge.jinja', /there is no variable "instruction"; the prompt has text/],
];
for (const [title, text, prompts, says] of faults)
  test(`${title} in place of a prompt is refused, with file and line`, async (t) => {
    const { file } = written(text, prompts);
    const error = await t.throwsAsync(loadExperiment(file), { name: 'ConfigError' });
    t.regex(error.message, says);
  });

test('a prompt file that stands among the modules is refused', async (t) => {
  t.regex(
    await fault(t, sound.replace('module.ts]', 'module.ts, ./judge.jinja]')),
    /modules\.1: is a prompt file: name it in place of a prompt/,
  );
});

test('the prompt of a suite may be a file, and is checked with the slots of its own', async (t) => {
  const suite = (text: string) => {
    const { file } = written(text);
    const evaluation = '  forward: { suite: humpback.answers, params: { instructions: [Why?], prompt: judge.jinja } }';
    writeFileSync(
      file,
      readFileSync(file, 'utf8')
        .replace(/ {2}forward: .*/, evaluation)
        .replace(/ {2}prompts.*\n/, ''),
    );
    return loadExperiment(file);
  };
  const { bound } = await suite('{% user %}{{ instruction }}{% enduser %}');
  t.is((bound.evaluation['forward']!.params as { prompt: string }).prompt, promptId(bound.modules.at(-1)!.digest));
  await t.throwsAsync(suite(judge), { message: /evaluation\.forward\.params\.prompt: .*judge\.jinja:2: there is no variable "response"/ });
});

test('an experiment keeps the text that it was launched with, in fork and retry too; a new one takes a --set', async (t) => {
  const { file, jinja } = written(judge);
  const { bound } = await loadExperiment(file);
  const store = await openStore(temporary());
  await grantAll(store, contextOf(bound));
  writeFileSync(jinja, judge.replace('Rate', 'Grade'));
  const fork = (await rebind(bound, ['parameters.rounds=3'], 'fork').catch((error: Error) => error)) as Error;
  t.regex(fork.message, /has changed since the experiment was bound, and the store has no copy/); // this home has no store

  const registry = await loadRegistry(bound.modules, store);
  t.deepEqual(registry.prompt(judgeOf(bound)).render({ instruction: 'a', response: 'b' } as never), {
    messages: [{ role: 'user', content: 'Rate a: b' }],
  });
  rmSync(jinja);
  await t.notThrowsAsync(loadRegistry(bound.modules, store));
  writeFileSync(jinja, judge.replace('Rate', 'Grade'));
  const now = (await rebind(bound, [`parameters.prompts.judge=${jinja}`], bound.name)).bound;
  t.not(judgeOf(now), judgeOf(bound));
  t.is(now.modules.length, bound.modules.length);
  writeFileSync(jinja, judge);
  t.deepEqual(differences(bound, (await rebind(bound, [], bound.name)).bound), []);
});
