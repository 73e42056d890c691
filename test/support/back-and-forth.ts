/** Runs back-and-forth translation on 20 seed pairs and some documents, with rule-based models. */
import { join } from 'node:path';
import { TooLong } from '../../inference/client.ts';
import type { Pair } from '../../operators/humpback/records.ts';
import type { DatasetRef, ModelRef } from '../../schemas/call.ts';
import type { BoundConfig } from '../../schemas/config.ts';
import { sha256 } from '../../schemas/canonical.ts';
import { jsonl, lot, stage, type Given, type Ran } from './recipe.ts';

export const seedPairs = Array.from({ length: 20 }, (_, n) => ({ instruction: `Seed question ${n}?`, response: `Seed answer ${n}.` }));
export const documents = [
  ...Array.from({ length: 60 }, (_, n) => ({ text: `Document ${n} of the head.`, split: 'head' })),
  ...Array.from({ length: 5 }, (_, n) => ({ text: `Document ${n} of no split.` })),
  { text: 'A document of the middle.', split: 'middle' },
  { text: 'A document of the tail.', split: 'tail' },
  { text: `A long document. ${'word '.repeat(100)}`, split: 'head' },
  { text: `A document beyond the context. ${'word '.repeat(300)}`, split: 'head' },
];
export const items = Array.from({ length: 8 }, (_, n) => ({ instruction: `What is tide ${n}?`, reference: `Reference ${n}.` }));

/** Half of the judgements are a 5; a third of the rewritings lacks a marker, and a tenth gets it in the second attempt. */
const judgements = ['I cannot say.', 'Score: 8', 'Score: 3', 'Fine.\nScore: 5', 'Score: 5', 'Score: 5'];
const rewritings = (text: string) => [
  `Certainly!\n[RES] Better: ${text} [/RES]\nI kept its words.`,
  `[RES]Better: ${text}[/RES]`,
  `[RES]\nBetter: ${text}\n[/RES]`,
  `Better: ${text}`,
  `[RES] Better: ${text}`,
  `Better: ${text} [/RES]`,
];
export const times = new Map<string, number>();
function reply(role: string, model: string, content: string): string {
  if (role === 'backward' && content.length > 1200) throw new TooLong('the prompt is too long');
  if (role === 'backward') return ` What is ${sha256(content).slice(0, 8)}?\n`;
  if (role === 'scorer') return judgements[lot(content, judgements.length)]!;
  if (role === 'model') return `An answer of ${model.slice(0, 8)}.`;
  if (role === 'judge') return lot(content, 3) === 0 ? 'A.' : lot(content, 3) === 1 ? 'Answer B is better' : 'Neither.';
  if (!content.includes('Draft')) return `Distilled ${sha256(content).slice(0, 8)}.`;
  const before = times.get(content) ?? 0;
  times.set(content, before + 1);
  const [first] = documents.filter(({ text }) => content.includes(text));
  const said = rewritings(first!.text);
  return lot(content, 10) === 0 ? said[before === 0 ? 3 : 0]! : said[lot(content, said.length)]!;
}

export const name = 'back-and-forth';
export const made = await stage(
  name,
  { reply, score: ({ continuation }) => [{ id: 0, logprob: -lot(continuation, 100), entropy: null }] },
  {
    'seed.jsonl': jsonl(seedPairs),
    'documents.jsonl': jsonl(documents),
    'base/': '{}',
    'student/': '{"of": "students"}',
    'rewriter/': '{"of": "others"}',
    'teacher/': '{"of": "judges"}',
  },
);
const { folder } = made;
export const model = (name: string) => ({ path: join(folder, name) });
const source = (path: string) => ({ source: 'std.table', params: { path }, folder });
const winRate = { id: 'back-and-forth.winRate', with: { judge: 'teacher' } };
const evaluation: BoundConfig['evaluation'] = {
  forward: { ...winRate, params: { items } },
  forwardWeb: { ...winRate, params: { items, prompts: { respond: 'humpback.response' } } },
  pairs: { id: 'humpback.pairs', params: {} },
};
export const arms = ['both', 'rewrite', 'filter', 'distil'] as const;
export const given = (parameters: object = {}, models: BoundConfig['models'] = {}): Given => ({
  parameters: { minimum: 1, judgeCheck: null, size: 30, arms, maxChars: 400, ...parameters },
  data: { seed: source('seed.jsonl'), documents: source('documents.jsonl') },
  models: { base: model('base'), student: model('student'), rewriter: model('rewriter'), teacher: model('teacher'), ...models },
  evaluation,
});
export const ran = await made.run(given());
export const inputsOf = (run: Ran, path: string) =>
  run.step(path).call.inputs as { from: ModelRef; data: DatasetRef; over: DatasetRef; with: Record<string, ModelRef> };
export const valuesOf = async <T>(run: Ran, path: string) => (await made.rows<T>(run.step(path).data)).map(({ value }) => value);
export const modelOf = (path: string): string => ran.step(path).model.digest;
export const of = (role: string, run = ran) => run.asked.filter((one) => one.role === role);
export const sorted = (pairs: readonly Pair[]) =>
  pairs.map(({ instruction, response }) => JSON.stringify([instruction, response])).toSorted();
export const pool = await valuesOf<Pair>(ran, 'backtranslate');
export const rewriter = of('rewriter');
export const marked = /\[RES\][^]*\[\/RES\]/;
