/** Runs Kun on ten seed pairs and some texts in two languages, with rule-based models. */
import { join } from 'node:path';
import { resolve } from '../../steps/resolve.ts';
import type { Labelled, Polished } from '../../operators/kun/records.ts';
import type { KunParameters } from '../../schemas/recipes/kun.ts';
import { recipeSchemas } from '../../schemas/recipes/index.ts';
import { sha256 } from '../../schemas/canonical.ts';
import { jsonl, lot, stage, type Given, type Ran } from './recipe.ts';

export const seedPairs = Array.from({ length: 10 }, (_, n) => ({ instruction: `Seed question ${n}?`, response: `Seed answer ${n}.` }));
const words = (count: number) => Array.from({ length: count }, (_, n) => `w${n}`).join(' ');
export const [long, brim, fitting] = [words(513), words(512), words(505)];
export const texts = [
  ...Array.from({ length: 80 }, (_, n) => `Fact number ${n} tells about the tides.`),
  ...Array.from({ length: 40 }, (_, n) => `第${n}条事实说的是潮汐。`),
  long,
  brim,
  fitting,
  'A riddle of words.',
];

const instructions = (text: string) => [
  `What is ${sha256(text).slice(0, 8)}?`,
  `请说明${sha256(text).slice(0, 8)}是什么。`,
  `How do tides work, ${sha256(text).slice(0, 8)}?     And here is more`,
  `Say ${sha256(text).slice(0, 8)}.\nSay ${sha256(text).slice(0, 8)}.`,
  'Say one.\nSay two.\nSay two.',
  'Summarise the articles.',
  '请总结这篇文章。',
];
const verdicts = ['【好】', '【好】', '【好】\n因为它很清楚', '[GOOD]', '【差】', '【好】还是【差】?', '不知道', ' '];
const responses = (text: string) => [
  `A polished answer, made of ${sha256(text).slice(0, 8)}.`,
  `这是一个经过润色的、足够长的回答：${sha256(text).slice(0, 8)}。`,
  'According to the text, the tides come and go each day.',
  '抱歉，我没有办法回答这个问题，请您换一个问题再来问我。',
  'No.',
  'It is '.repeat(12),
];
/** All other roles belong to an evaluation. */
function reply(role: string, _model: string, content: string): string {
  if (role === 'label')
    return /w500/.test(content) ? 'Why is it, and when, and where do they all say so?' : of(instructions(content), content);
  if (role === 'point') return /Why is it/.test(content) ? '【好】' : of(verdicts, content);
  return of(responses(content), content);
}
const of = <T>(choice: readonly T[], content: string): T => choice[lot(content, choice.length)]!;
/** Words, and Han characters. */
export const tokensOf = (text: string) => text.match(/\p{Script=Han}|[^\s\p{Script=Han}]+/gu) ?? [];

export const name = 'kun';
export const made = await stage(
  name,
  {
    reply,
    score: ({ continuation }) =>
      tokensOf(continuation).map((_, id) => ({ id, logprob: continuation.includes('riddle') ? -8 : -1, entropy: null })),
  },
  { 'seed.jsonl': jsonl(seedPairs), 'texts.jsonl': jsonl(texts.map((text) => ({ text }))), 'base/': '{}', 'other/': '{"of": "others"}' },
);
const source = (path: string) => ({ source: 'std.table', params: { path }, folder: made.folder });
export const given = (parameters: object = {}, models: Given['models'] = {}): Given => ({
  parameters: { minimum: 1, judgeCheck: null, maxPerplexity: 100, arms: ['unpolished', 'unjudged'], ...parameters },
  data: { seed: source('seed.jsonl'), texts: source('texts.jsonl') },
  models: { base: { path: join(made.folder, 'base') }, ...models },
  evaluation: {
    labelled: { id: 'std.degeneracy', params: { text: 'instruction', source: 'text' } },
    pairs: { id: 'humpback.pairs', params: {} },
  },
});
export const ran = await made.run(given());
export const records = <T>(run: Ran, path: string) => made.rows<T>(run.step(path).data);
export const valuesOf = async <T>(path: string) => (await records<T>(ran, path)).map(({ value }) => value);
export const modelOf = (path: string): string => ran.step(path).model.digest;
export const askedOf = (role: string, run = ran) => run.asked.filter((one) => one.role === role);
export const countsOf = async (run: Ran, path: string) => {
  const { services, context } = made.bench;
  const { stepKey } = await resolve(run.step(path).call, context, await services.registry([]));
  return (await services.store.output(stepKey))!;
};
export const defaults = recipeSchemas[name]!.parameters.parse({}) as KunParameters;
export const steps = ['measure', 'label', 'point', 'budget', 'polish'] as const;
export const labelled = await valuesOf<Labelled>('label');
export const pairs = await valuesOf<Polished>('polish');
