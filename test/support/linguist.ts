/** Runs LINGUIST on three intents of a voice assistant, with a generator that now and then breaks each rule, and a tagger that errs. */
import { join } from 'node:path';
import { parsed, printed, slotsIn, WILDCARD, type Piece } from '../../operators/linguist/grammar.ts';
import type { DatasetRef, ModelRef } from '../../schemas/call.ts';
import { resolve } from '../../steps/resolve.ts';
import { days, intents, pick, rowsOf } from './linguist-data.ts';
import { jsonl, lot, stage, type Ran } from './recipe.ts';

/** German in MASSIVE's notation, with the ids of the English rows. */
export const parallel = Array.from({ length: 12 }, (_, n) => [
  { id: n, locale: 'en-US', intent: 'alarm_set', annot_utt: `wake me up at [time : ${n} o'clock] [date : ${pick(days, n)}]` },
  { id: n, locale: 'de-DE', intent: 'alarm_set', annot_utt: `wecke mich um [time : ${n} uhr] [date : tag ${n}]` },
]).flat();
export const test = rowsOf(100, 8);
export const german = test.map(({ tokens, ...row }) => ({ ...row, tokens: tokens.map((word) => `${word}x`), language: 'de' }));

/** The five blocks of a request. */
export function blocksOf(content: string): { readonly names: readonly string[]; readonly of: Readonly<Record<string, string>> } {
  const found = [...content.matchAll(/<(\w+)>\s([^]*?)\s<\/\1>/g)].map(([, name, body]) => [name!, body!.trim()] as const);
  return { names: found.map(([name]) => name), of: Object.fromEntries(found) };
}
export const exampleLines = (content: string): string[] =>
  (blocksOf(content).of['examples'] ?? '').split('\n').filter((line) => line !== '');
export const labelsIn = (content: string): ReadonlyMap<number, string> =>
  new Map(
    blocksOf(content)
      .of['labels']!.split(', ')
      .map((entry) => entry.split('='))
      .map(([number, name]) => [Number(number), name!]),
  );
export const includesIn = (content: string) => slotsIn(parsed(blocksOf(content).of['include'] ?? '') ?? []);

/** What the generator does with half of the requests. Which ones does not depend on seeds, and so on versions of the trainer. */
const faults = ['unbalanced', 'nested', 'unknown', 'missing', 'extra', 'changed', 'wildcard', 'copy', 'same', 'same', 'same'] as const;
function generated(content: string, seed: number): string {
  const fault: (typeof faults)[number] | undefined = faults[lot(content, 2 * faults.length)];
  const include = includesIn(content);
  const named = include.map(({ type, words }, at) => (words[0] === WILDCARD ? { type, words: [`made${seed}up${at}`] } : { type, words }));
  const whole = (slots: readonly Piece<number>[]) => printed([{ type: null, words: ['say', `${seed}`] }, ...slots] as never, Number);
  const highest = Math.max(0, ...labelsIn(content).keys());
  switch (fault) {
    case undefined:
      return whole(named);
    case 'unbalanced':
      return `${whole(named)} [1 x`;
    case 'nested':
      return `${whole(named)} [1 x [2 y ] ]`;
    case 'unknown':
      return whole([...named, { type: highest + 1, words: ['x'] }]);
    case 'missing':
      return whole(named.slice(1));
    case 'extra':
      return whole([...named, { type: 1, words: ['x'] }]);
    case 'changed':
      return whole(named.map(({ type, words }) => ({ type, words: [...words, 'there'] })));
    case 'wildcard':
      return whole([{ type: null, words: [WILDCARD] }, ...named]);
    case 'copy':
      return exampleLines(content).find((line) => fits(line, content)) ?? '';
    case 'same':
      return whole(named).replaceAll(`${seed}`, ' again').replaceAll(/\s+/g, ' ');
  }
}
/** Whether an example has the slots and the values of the request. */
function fits(line: string, content: string): boolean {
  const left = slotsIn(parsed(line)!);
  const isOpen = ({ words }: { readonly words: readonly string[] }) => (words[0] === WILDCARD ? 1 : 0);
  for (const { type, words } of includesIn(content).toSorted((one, other) => isOpen(one) - isOpen(other))) {
    const at = left.findIndex((slot) => slot.type === type && (words[0] === WILDCARD || slot.words.join(' ') === words.join(' ')));
    if (at < 0) return false;
    left.splice(at, 1);
  }
  return left.length === 0;
}

/** Whether the process crashes at the next request. */
export const machine = { dies: () => false };
export const answers: string[] = [];
export const made = await stage(
  'linguist',
  {
    reply(role, _model, content, seed) {
      if (machine.dies()) throw new Error('the machine is gone');
      answers.push(`${seed} ${role}: ${content}`);
      if (role === 'generator') return generated(content, seed);
      const [, text] = /to a voice assistant: (.*)\n/.exec(content)!;
      return `Sure! Here is the sentence:\n"${seed % 5 === 0 ? 'Something else.' : `now ${text!} take ${seed}`}"`;
    },
    score: ({ continuation }) => [{ id: 0, logprob: -1 - lot(continuation, 1000) / 1000, entropy: null }],
    /** Knows the test set, but takes every fourth utterance in English, and every eighth in German, for weather without slots. Takes one in
     *  four of all others for music, and the rest for weather. */
    tag({ tokens }) {
      const all = [...test, ...german];
      const at = all.findIndex((row) => row.tokens.join(' ') === tokens.join(' '));
      if (at < 0) return { intent: lot(tokens.join(' '), 4) === 0 ? 'PlayMusic' : 'GetWeather', tags: tokens.map(() => 'O') };
      const errs = at % (at < test.length ? 4 : 8) === 1;
      return { intent: errs ? 'GetWeather' : all[at]!.intent, tags: all[at]!.tags.map((tag) => (errs ? 'O' : tag)) };
    },
  },
  {
    'train.jsonl': jsonl([...rowsOf(0, 30), test[0]!]),
    'test.jsonl': jsonl(test),
    'both.jsonl': jsonl([...test, ...german]),
    'parallel.jsonl': jsonl(parallel),
    'base/': '{"a": 1}',
    'encoder/': '{"b": 1}',
    'chat/': '{"c": 1}',
  },
);
export const small = { draws: 2, students: 2, samples: 12, target: 30, passes: 2, upsample: 3 };
const source = (path: string) => ({ source: 'std.table', params: { path }, folder: made.folder });
export const run = (
  parameters: object = { intents: intents.slice(0, 2) },
  data: object = {},
  models: readonly string[] = ['base', 'encoder'],
) =>
  made.run({
    parameters: { ...small, ...parameters },
    data: { train: source('train.jsonl'), test: source('test.jsonl'), ...data },
    models: Object.fromEntries(models.map((name) => [name === 'chat' ? 'paraphraser' : name, { path: join(made.folder, name) }])),
  });
export const bilingual = { test: source('both.jsonl'), parallel: source('parallel.jsonl') };
export const ran = await run({ intents: intents.slice(0, 2), arms: ['none', 'upsampled', 'paraphrase'] }, {}, ['base', 'encoder', 'chat']);

export const rowsAt = <T>(of: Ran, path: string) => made.rows<T>(of.step(path).data);
export const records = async <T>(of: Ran, path: string) => (await rowsAt<T>(of, path)).map(({ value }) => value);
interface Inputs {
  readonly with: Readonly<Record<string, ModelRef>>;
  readonly from: ModelRef;
  readonly data: DatasetRef;
}
export const inputs = (of: Ran, path: string) => of.step(path).call.inputs as unknown as Inputs;
export const outputOf = async (of: Ran, path: string) => {
  const { services, context } = made.bench;
  const { stepKey } = await resolve(of.step(path).call, context, await services.registry([]));
  return (await services.store.output(stepKey))!;
};
