/** TeGit on the in-memory `Run`, with passages that the wrapper answers oddly. */
import { join } from 'node:path';
import { TooLong } from '../../inference/client.ts';
import { marked } from '../../operators/tegit/parse.ts';
import { jsonl, stage } from './recipe.ts';

export const passage = (n: number) => ({ text: `Passage ${n} tells that river ${n} is ${n} miles long. Buy maps of it here.` });
export const taskOf = (n: number) => ({ instruction: `How long is river ${n}?`, input: '', output: `River ${n} is ${n} miles long.` });
export const documents = Array.from({ length: 30 }, (_, n) => passage(n));
export const metaOf = (n: number) => ({ ...passage(n), ...taskOf(n) });

/** What the wrapper does with a passage that is not like the others. */
export const odd = { preamble: 3, echo: 4, marker: 5, empty: 6, nearEcho: 7, input: 8, twin: 9, long: 11, echoed: 13, terse: 14 } as const;
export const numberIn = (content: string) => Number(/Passage (\d+)|river (\d+)/i.exec(content)!.slice(1).find(Boolean));
function wraps(content: string): string {
  const n = numberIn(content);
  const task = taskOf(n);
  if (n === odd.preamble) return `Here is one:\n${marked(task)}`;
  if (n === odd.echo) return marked({ ...task, instruction: content.split('\n')[0]! });
  if (n === odd.nearEcho)
    return marked({
      ...task,
      instruction: `Please make a task from the text below: an instruction, an input if the instruction needs one, and an output!`,
    });
  if (n === odd.echoed) return marked({ ...task, output: content.split('\n')[0]! });
  if (n === odd.terse) return marked({ ...task, instruction: 'Make a task.' }); // as the request says, by chance
  if (n === odd.marker) return marked({ ...task, output: `${task.output} #output#: again` });
  if (n === odd.empty) return marked({ ...task, output: '""' });
  if (n === odd.input) return marked({ ...task, instruction: 'Shorten this sentence.', input: `River ${n} is ${n} miles long, and wet.` });
  if (n === odd.twin) return marked({ ...task, instruction: taskOf(10).instruction });
  if (n === odd.long) throw new TooLong('2,100 tokens, and the model has room for 2,048');
  return marked(task);
}
export const made = await stage(
  'tegit',
  {
    reply(role, _model, content) {
      if (role !== 'discriminator') return wraps(content);
      const n = numberIn(content);
      return n % 5 === 0 ? 'It is not.\nValid: No' : n === 12 ? 'Perhaps.' : 'Valid: Yes';
    },
  },
  {
    'documents.jsonl': jsonl(documents),
    'reversed.jsonl': jsonl(documents.toReversed()),
    'meta.jsonl': jsonl([0, 1, 100, 101, 102, 103].map(metaOf)),
    'meta-documents.jsonl': jsonl([odd.preamble, odd.echo, 100, 101].map(passage)),
    'base/': '{}',
    'teacher/': '{"a": 1}',
    'discriminator/': '{"b": 1}',
  },
);
export const source = (path: string) => ({ source: 'std.table', params: { path }, folder: made.folder });
export const run = (
  parameters: object = {},
  data: object = { meta: source('meta.jsonl') },
  models: readonly string[] = ['base'],
  file = 'documents.jsonl',
) =>
  made.run({
    parameters: { minimum: 1, judgeCheck: null, ...parameters },
    data: { documents: source(file), ...data },
    models: Object.fromEntries(models.map((name) => [name, { path: join(made.folder, name) }])),
  });
export const ran = await run();
