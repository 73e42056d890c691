/** Tasks of EleutherAI's harness by the command: the embedded server answers, and the harness measures. */
import test from 'ava';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { View } from '../../experiments/view.ts';
import { backspin, temporary } from '../cli/cli.ts';

const FILE = join(import.meta.dirname, '../support/miniature.yaml');
const tasks = (...names: readonly string[]) => [
  '--set',
  `data.tasks={ source: std.lm-eval, params: { tasks: [${names.join(', ')}], include: ${join(import.meta.dirname, 'tasks')} } }`,
  '--set',
  'evaluation={ forward: { suite: eval.lm-eval, data: tasks } }',
  '--set',
  'parameters.rounds=1',
];
const home = join(temporary(), 'home');
mkdirSync(home);
writeFileSync(join(home, 'pools.yaml'), 'cpu: { groups: 2, keepWarm: 1h }\n');

async function run(...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await backspin(home, args);
  if (code !== 0) throw new Error(`backspin ${args.join(' ')}: exit code ${code}\n${stdout}${stderr}`);
  return stdout;
}
const viewOf = async (name: string) => JSON.parse(await run('status', name, '--json')) as View;
interface Row {
  readonly item: { readonly task?: string; readonly document?: number; readonly requests?: readonly { readonly continuation: string }[] };
  readonly answer: { readonly answers: readonly (readonly [number, boolean])[] };
}

test.before(() => run('up', '--detach'));
test.after.always(() => run('down'));

test.serial('a task of each kind is measured; what the numbers count stands in the records', async (t) => {
  await run('launch', FILE, '--name', 'one', ...tasks('rivers', 'echo', 'last'), '--watch');
  const { metrics, state } = await viewOf('one');
  t.is(state, 'completed');
  const last = metrics.find(({ round }) => round === 1)!;
  t.like(last, { answered: 1, documents: 9 });
  for (const name of ['rivers.acc', 'rivers.acc_norm', 'echo.exact_match', 'last.acc']) t.is(typeof last[name], 'number', name);
  const rows = (await run('sql', 'one', "select item, answer from 'r1/evaluate-forward'", '--format', 'jsonl'))
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Row);
  const gold = new Map(['Rhine', 'Paris', 'Baltic'].map((answer, at) => [at, ` ${answer}`]));
  const right = rows
    .filter(({ item }) => item.task === 'rivers')
    .filter(({ item, answer }) => {
      const best = answer.answers.reduce((top, [nats], at) => (nats > answer.answers[top]![0] ? at : top), 0);
      return item.requests![best]!.continuation === gold.get(item.document!);
    });
  t.is(last['rivers.acc'], right.length / 3);
});

test.serial('another experiment with the same model and tasks sends no request', async (t) => {
  await run('launch', FILE, '--name', 'two', ...tasks('rivers', 'echo', 'last'), '--watch');
  const [one, two] = [await viewOf('one'), await viewOf('two')];
  t.deepEqual(two.metrics, one.metrics);
  t.true(two.steps.filter(({ kind }) => kind === 'evaluate').every(({ cached }) => cached));
});

test.serial('a plan refuses a task that is not there, and one that backspin cannot ask', async (t) => {
  const refused = async (name: string) => {
    const { code, stderr } = await backspin(home, ['plan', FILE, ...tasks(name)]);
    t.is(code, 1);
    return stderr;
  };
  t.regex(await refused('riverz'), /lm_eval has no task riverz/);
  t.regex(await refused('whole'), /The task whole measures perplexity: use the suite eval\.perplexity/);
});
