/** What all operators have in common that read what a model says. */
import test from 'ava';
import * as air from '../../operators/air/index.ts';
import * as cycleInstruct from '../../operators/cycle-instruct/index.ts';
import * as humpback from '../../operators/humpback/index.ts';
import * as linguist from '../../operators/linguist/index.ts';
import * as main from '../../operators/main/index.ts';
import * as musc from '../../operators/musc/index.ts';
import * as selfLengthen from '../../operators/self-lengthen/index.ts';
import * as tegit from '../../operators/tegit/index.ts';
import { stripReasoning } from '../../operators/strip-reasoning.ts';
import { lengths } from '../../schemas/recipes/air.ts';
import { constraintTypes } from '../../schemas/recipes/air-types.ts';
import { linguist as linguistSchema } from '../../schemas/recipes/linguist.ts';
import { selfLengthen as selfLengthenSchema } from '../../schemas/recipes/self-lengthen.ts';
import type { Operator, Outcome, Prompt } from '../../recipe/index.ts';
import { playing } from '../support/playing.ts';

type AnyOperator = Operator<object, unknown, string, object>;
const spaces: Readonly<Record<string, object>> = {
  air,
  'cycle-instruct': cycleInstruct,
  humpback,
  linguist,
  main,
  musc,
  'self-lengthen': selfLengthen,
  tegit,
};
/** The operators that ask for text, by id. */
const asking: ReadonlyMap<string, AnyOperator> = new Map(
  Object.entries(spaces).flatMap(([space, exported]) =>
    Object.entries(exported)
      .filter(([, one]: [string, Partial<AnyOperator>]) => one.is === 'operator' && one.capabilities!.includes('chat'))
      .map(([name, one]) => [`${space}.${name}`, one as AnyOperator] as const),
  ),
);

const sampling = { temperature: 0, maxTokens: 8 };
const taken = { instruction: 'Write. Be short.', input: null, constraints: ['Write.', 'Be short.'], shots: [] };
const noised = { ...taken, corrupted: ['Write.'], touched: ['Be short.'] };
const twins = { original: 'o', instruction: 'Write. Be short.', corrupted: 'Write.', touched: ['Be short.'] };
const pair = { instruction: 'q', response: 'a' };
const rated = { text: 'y', instruction: 'Write about y.', score: 4 };
const step = { type: 'target audience', constraint: 'For one child.', output: 'It is y.', satisfied: 1 };
const fields = '#instruction#: Say y. #input#: #output#: It is y.';
const short = { instruction: 'Write on y.', text: 'It is y.', words: 3 };
const qa = { question: 'q', answer: 'a', original: 'question' };
const asked = { id: 'b', source: 's', language: 'en', intent: 'i', include: [[1, 'so']], labels: { 1: 't' }, examples: [], legal: ['t'] };
/** A record, and a reply that is understood where it is whole: of two calls each has its own. */
const cases: Readonly<Record<string, readonly [record: object, ...replies: string[]]>> = {
  'air.backtranslate': [{ text: 'y' }, 'Write about y.'],
  'air.rate': [{ text: 'y', instruction: 'Write about y.' }, 'Score: 4/5'],
  'air.refine': [rated, 'It is a y.', 'It is no y.', '**Constraint**: None'],
  'air.merge': [{ ...rated, polished: 'p', answer: 'a', steps: [step], ended: 'iterations', said: null }, 'Write about y for one child.'],
  'air.respond': [{ initial: 'i', constraints: ['c'], document: 'd', instruction: 'i and c' }, 'It is a y.'],
  'cycle-instruct.cleanQuestion': [{ question: 'q?' }, 'Why?'],
  'cycle-instruct.cleanAnswer': [{ answer: 'a' }, 'So.'],
  'cycle-instruct.answerQuestion': [{ question: 'q?' }, 'So.'],
  'cycle-instruct.askForAnswer': [{ answer: 'a' }, 'Why?'],
  'cycle-instruct.askAgain': [qa, 'Why?'],
  'cycle-instruct.answerAgain': [qa, 'So.'],
  'humpback.backtranslate': [{ text: 'y' }, 'What is y?'],
  'humpback.rating': [pair, 'A perfect answer would get\nScore: 5'],
  'linguist.annotate': [asked, 'It is [1 so ]'],
  'linguist.paraphrase': [{ id: null, language: 'en', intent: 'i', tokens: ['so', 'it', 'is'], tags: ['B-t', 'O', 'O'] }, 'It is so'],
  'main.imagineInstruction': [pair, 'What?'],
  'main.imagineResponse': [pair, 'That.'],
  'main.augment': [{ text: 'y' }, 'What is y?'],
  'musc.decompose': [{ instruction: 'Write. Be short.' }, '##1. Write.\n##2. Be short.\n**Input**: None'],
  'musc.recombine': [noised, 'Write, and be short.', 'Write.'],
  'musc.invent': [{ shots: [] }, '##1. Write.\n##2. Be short.\n**Task:** Write, and be short.'],
  'musc.reinvent': [noised, 'Write.'],
  'musc.respond': [twins, 'Short.', 'A longer one.'],
  'musc.verify': [{ ...twins, chosen: 'c', rejected: 'r' }, 'It is long. Answer: No'],
  'musc.corruptBy': [taken, '**New Constraint**: Be long.'],
  'self-lengthen.propose': [{ drawn: [{ instruction: 'Write.' }] }, 'Write a long text on y.', 'Yes'],
  'self-lengthen.write': [{ instruction: 'Write on y.' }, 'It is y.'],
  'self-lengthen.lengthen': [short, ...Array.from({ length: 3 }, () => ['It is a y.', 'And so on.']).flat()],
  'self-lengthen.rewrite': [{ ...short, demand: { about: 40 }, phrase: 'about 40 words', numbers: ['40'] }, 'Write 40 words on y.'],
  'tegit.makeTask': [{ text: 'y' }, fields],
  'tegit.wrap': [{ text: 'y' }, fields],
  'tegit.discriminate': [{ text: 'y', instruction: 'i', output: 'o', grounding: 0 }, 'Valid: Yes'],
};
const params = {
  prompt: 'p',
  prompts: { judge: 'p', substitute: 'p', negate: 'p' },
  sampling,
  rewriting: sampling,
  attempts: 1,
  iterations: 5,
  types: constraintTypes,
  lengths: lengths.parse({}),
  level: 1,
  hardOnly: false,
  shots: 3,
  to: 'instruction',
  echo: 0.8,
  noise: { ratio: 0.3, kinds: { delete: 0, substitute: 1, negate: 0 } },
};
const paramsOf = (id: string): object =>
  id.startsWith('linguist.')
    ? linguistSchema.parameters.parse({ intents: ['i'] })
    : id.startsWith('self-lengthen.')
      ? { ...selfLengthenSchema.parameters.parse({}), attempts: { propose: 1, write: 1, extend: 1, demand: 1 } }
      : params;
const chatting: Prompt = { messages: [{ role: 'user', content: 'x' }] };
const outcomeOf = async (id: string, finish: 'stop' | 'length', prompt = chatting): Promise<Outcome<unknown>> => {
  const [record, ...replies] = cases[id]!;
  const { context } = playing(
    prompt,
    replies.map((text) => ({ text, finish })),
  );
  const { input, run } = asking.get(id)!;
  return run(input.parse(record) as object, context, paramsOf(id));
};

test('every operator that asks for text is tried here', (t) => t.deepEqual(Object.keys(cases).toSorted(), [...asking.keys()].toSorted()));

for (const id of asking.keys())
  test(`${id} keeps a reply that came to its end, and drops the same one as truncated where it was cut off`, async (t) => {
    t.true('kept' in (await outcomeOf(id, 'stop')));
    t.like(await outcomeOf(id, 'length'), { dropped: 'truncated', evidence: cases[id]![1] });
  });

test('a judgement may be cut off where it goes on after Score:, and nowhere else', async (t) => {
  const { messages } = chatting as { messages: [] };
  const rated = async (prompt: Prompt, text: string) => {
    const { context } = playing(prompt, [{ text, finish: 'length' }]);
    return humpback.rating.run(pair, context, params);
  };
  for (const prompt of [{ messages, prefill: 'Score:' }, { messages, prefill: 'It helps. Score: ' }, { text: 'q a Score:' }])
    t.like(await rated(prompt, ' 4'), { kept: [{ score: 4 }] });
  t.like(await rated({ messages, prefill: 'Reasons:' }, ' a 5 would be\nScore: 5'), { dropped: 'truncated' });
  t.like(await rated({ text: 'q a' }, 'Score: 5'), { dropped: 'truncated' });
});

test('a cut judgement is followed by a fresh sample, as one without a rating is', async (t) => {
  const { context, asked } = playing(chatting, [{ text: 'Score: 5', finish: 'length' }, 'Score: 3']);
  t.like(await humpback.rating.run(pair, context, { ...params, attempts: 2 }), { kept: [{ score: 3 }] });
  t.is(asked.length, 2);
});

const thoughts: readonly (readonly [how: string, wrap: (text: string) => string])[] = [
  ['a thought before it', (text) => `<think>\nDrop <think>it</think>\n\n${text}`],
  ['an empty thought', (text) => `<think>\n\n</think>\n\n${text}`],
  ['a thought whose opening tag was in the prompt', (text) => `I could say **Input**: x, and Answer: Yes.\n</think>\n\n${text}`],
  ['two thoughts', (text) => `<think>a</think>\n<think>b</think>\n${text}`],
  ['a thought in other tags', (text) => `<Thinking>Score: 1</Thinking>${text}`],
  ["Mistral's tags", (text) => `[THINK]Score: 1[/THINK]${text}`],
  [
    "gpt-oss's channels",
    (text) => `<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>final<|message|>${text}<|return|>`,
  ],
  ['a leaked end token', (text) => `${text}<|im_end|>`],
  ['several leaked tokens', (text) => `${text}</s>\n<|endoftext|> <pad><pad>\n`],
  ['a turn of the user behind it', (text) => `${text}<|eot_id|><|start_header_id|>user<|end_header_id|>\n\nAnd now?`],
  ['the header of its turn', (text) => `<|im_start|>assistant\n${text}<｜end▁of▁sentence｜>`],
];
const replying = (id: string, wrap: (text: string) => string) => {
  const [record, ...replies] = cases[id]!;
  const { input, run } = asking.get(id)!;
  return run(
    input.parse(record) as object,
    playing(
      chatting,
      replies.map((text) => ({ text: wrap(text), finish: 'stop' as const })),
    ).context,
    paramsOf(id),
  );
};
for (const id of asking.keys()) {
  test(`${id} makes the same of a reply with thoughts or leaked tokens as of one without`, async (t) => {
    const plain = await replying(id, (text) => text);
    for (const [how, wrap] of thoughts) t.deepEqual(await replying(id, wrap), plain, how);
  });
  test(`${id} drops a reply as truncated whose thought has no end, and as empty one that is thought alone`, async (t) => {
    for (const open of ['<think>', '\n<think>Hm. ', '[THINK]', '<|channel|>analysis<|message|>'])
      t.like(await replying(id, (text) => open + text), { dropped: 'truncated' }, open);
    t.like(await replying(id, (text) => `<think>${text}</think>\n`), { dropped: 'empty', evidence: `<think>${cases[id]![1]}</think>\n` });
  });
}

test('what an answer says about tags and tokens is a part of it', (t) => {
  for (const text of [
    'Write <|im_end|> after each message.',
    'The tag `</think>` ends it.',
    'Models write <think>so</think> first.',
    'Now <s>9</s>',
    'A <think> tag begins a thought.',
    '<b>bold</b>',
  ])
    t.is(stripReasoning(text), text);
});
