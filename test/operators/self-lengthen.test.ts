/** What Self-Lengthen's operators do with a record: extensions in two stages, length-biased sampling, rewritten instructions. */
import test from 'ava';
import {
  answer,
  demandLength,
  dropShort,
  enrich,
  invent,
  lengthen,
  propose,
  restate,
  rewrite,
  suits,
  thin,
  write,
} from '../../operators/self-lengthen/index.ts';
import { countWords } from '../../operators/self-lengthen/text.ts';
import type { Context, Outcome, Prompt, Reply } from '../../recipe/index.ts';
import { selfLengthen } from '../../schemas/recipes/self-lengthen.ts';
import { playing } from '../support/playing.ts';
import { randomOf, rec, reduce, rows } from '../support/reduce.ts';

const defaults = selfLengthen.parameters.parse({});
const wordy = (key: string, count: number) => `${Array.from({ length: count }, (_, i) => `${key}${i}`).join(' ')}.`;

/** A context whose models give these replies in order; it renders the prompt that it is given, and notes each request. */
function noting(replies: readonly (string | Reply)[], render: (slots: never) => Prompt = enrich.render) {
  const { context } = playing({ messages: [] }, replies);
  const asked: { readonly how: 'chat' | 'complete'; readonly content: string; readonly prefill: string | undefined }[] = [];
  const noting: Context<string> = {
    ...context,
    prompt: (_, slots) => render(slots as never),
    chat(role, messages, sampling) {
      asked.push({ how: 'chat', content: messages.map(({ content }) => content).join('\n'), prefill: undefined });
      return context.chat(role, messages, sampling);
    },
    complete(role, prompt, sampling) {
      const { messages, prefill } = prompt as Extract<Prompt, { messages: unknown }>;
      asked.push({ how: 'complete', content: messages.map(({ content }) => content).join('\n'), prefill });
      return context.complete(role, prompt, sampling);
    },
  };
  return { asked, context: noting };
}
const draftOf = (text: string) => ({ instruction: 'Write on tides.', text, words: countWords(text) });
const extending = async (initial: string, replies: readonly (string | Reply)[], attempts = 1) => {
  const { asked, context } = noting(replies);
  const params = { ...defaults, attempts: { ...defaults.attempts, extend: attempts } };
  const outcome = await lengthen.run(draftOf(initial), context, params);
  return { asked, outcome, outlines: asked.map(({ content }) => /Outline:\n([^]*)\n\nThe outline is/.exec(content)![1]) };
};
const textOf = <T>(outcome: Outcome<T>) => ('kept' in outcome ? outcome.kept[0] : undefined);

test('2 of texts of different lengths 59.5 % are kept, none of the shortest fifth, and the longest with probability 1 - 2/n³', async (t) => {
  const input = Array.from({ length: 3000 }, (_, n) => rec({ text: 'x'.repeat(((n * 7) % 3000) + 1), n }));
  const { kept, dropped } = await reduce(dropShort, { of: rows(input) }, { lengthBias: {} });
  t.true(Math.abs(kept.length / 3000 - 0.595) < 0.02, `${kept.length} are kept`);
  t.is(kept.length + dropped.length, 3000);
  t.true(Math.min(...kept.map(({ value }) => (value['text'] as string).length)) > 600);
  t.true(kept.length <= dropShort.maxRows(3000, { lengthBias: { scale: 2, power: 3 } }));
  for (const n of [2, 3, 5]) {
    const few = Array.from({ length: n }, (_, i) => rec({ text: 'x'.repeat(i + 1) }));
    const longest = few.at(-1)!.id;
    const lots = { just: 1 - 2 / n ** 3 - 1e-9, not: 1 - 2 / n ** 3 + 1e-9 };
    const keeps = async (lot: number) => {
      const emitted = dropShort.run({ of: rows(few) }, { lengthBias: { scale: 2, power: 3 } }, { random: () => () => lot } as never);
      for await (const one of emitted as AsyncIterable<{ record: { id: string }; dropped?: string }>)
        if (one.record.id === longest) return one.dropped === undefined;
      return undefined;
    };
    t.deepEqual([await keeps(lots.just), await keeps(lots.not)], [true, false], `of ${n}`);
  }
  t.is((await reduce(dropShort, { of: rows(input) }, { lengthBias: { scale: 0 } })).kept.length, 3000);
});

test('2 what is kept depends on seed and lengths, and not on the order of the texts', async (t) => {
  const input = Array.from({ length: 200 }, (_, n) => rec({ text: 'x'.repeat((n % 50) + 1), n }));
  const kept = async (some: typeof input, seed = 0) =>
    (await reduce(dropShort, { of: rows(some) }, { lengthBias: {} }, seed)).kept.map(({ id }) => id).toSorted();
  t.deepEqual(await kept(input.toReversed()), await kept(input));
  t.notDeepEqual(await kept(input, 1), await kept(input));
});

const paragraphs = (key: string, count: number, words = 10) => Array.from({ length: count }, (_, p) => wordy(`${key}${p}w`, words));

test('4 an attempt has six requests, by turns chat and prefilled with two thirds of the paragraphs of the chat before', async (t) => {
  const first = [3, 4, 7].map((count, i) => paragraphs(`f${i}`, count));
  const second = [4, 5, 6].map((count, i) => paragraphs(`s${i}`, count).join('\n\n'));
  const { asked, outlines, outcome } = await extending(
    paragraphs('draft', 4).join('\n\n'),
    first.flatMap((reply, i) => [reply.join('\n\n'), `\n\n${second[i]!}`]),
  );
  t.deepEqual(
    asked.map(({ how }) => how),
    ['chat', 'complete', 'chat', 'complete', 'chat', 'complete'],
  );
  const prefixes = [2, 2, 4].map((count, i) => first[i]!.slice(0, count).join('\n\n'));
  t.deepEqual(
    asked.map(({ prefill }) => prefill),
    prefixes.flatMap((prefix) => [undefined, prefix]),
  );
  // The first stage has the first half of the best text so far, and the second has all of it.
  const texts = [paragraphs('draft', 4).join('\n\n'), ...prefixes.map((prefix, i) => `${prefix}\n\n${second[i]!}`)];
  const half = (text: string) => {
    const parts = text.split('\n\n');
    return parts.slice(0, Math.floor(parts.length / 2)).join('\n\n');
  };
  t.deepEqual(
    outlines,
    texts.slice(0, 3).flatMap((text) => [half(text), text]),
  );
  t.like(textOf(outcome), { text: texts[3], words: countWords(texts[3]!), initial: texts[0] });
});

test('a text without paragraphs is taken by lines, one of a single line is not lost, and parts that a model joins stay apart', async (t) => {
  const { asked, outlines, outcome } = await extending(wordy('d', 10), [wordy('f', 10), wordy('s', 10), '', '', '']);
  t.deepEqual(outlines.slice(0, 2), [wordy('d', 10), wordy('d', 10)]);
  t.is(asked[1]!.prefill, wordy('f', 10));
  t.is(textOf(outcome)!.text, `${wordy('f', 10)}\n\n${wordy('s', 10)}`);
  const lines = paragraphs('d', 4).join('\n');
  const byLines = await extending(lines, [paragraphs('f', 3).join('\n'), `\n${wordy('s', 40)}`, '', '', '']);
  t.is(byLines.outlines[0], paragraphs('d', 2).join('\n'));
  t.is(byLines.asked[1]!.prefill, paragraphs('f', 2).join('\n'));
  t.is(textOf(byLines.outcome)!.text, `${paragraphs('f', 2).join('\n')}\n${wordy('s', 40)}`);
});

test('3 an extension succeeds with more than 1.2 times the words of its draft, and starts again from the draft otherwise', async (t) => {
  const draft = wordy('d', 100);
  const reaching = (words: number) => [wordy('f', 50), wordy('s', words - 50), '', ''];
  const enough = await extending(draft, reaching(121));
  t.is(textOf(enough.outcome)!.words, 121);
  t.like((await extending(draft, reaching(120))).outcome, { dropped: 'not-longer', evidence: '120 words, and the draft has 100' });
  const again = await extending(draft, [...reaching(120), ...reaching(130)], 2);
  t.is(textOf(again.outcome)!.words, 130);
  t.is(again.outlines[5], draft, 'not from the 120 words');
  t.is(lengthen.calls(defaults), 120);
});

test('3 an iteration counts only with more words than the text has, and passing the checks; the best text goes on', async (t) => {
  const draft = wordy('d', 100);
  const cases: readonly (readonly [name: string, second: string | Reply])[] = [
    ['no longer', wordy('s', 100)],
    ['no end', `${wordy('s', 200)} and`],
    ['repetition', `${wordy('s', 100)} ${wordy('s', 100)}`],
    ['about itself', `${wordy('s', 200)}\nThis revised text is longer.`],
    ['cut off', { text: wordy('s', 200), finish: 'length' }],
  ];
  for (const [name, second] of cases) {
    const { outlines, outcome } = await extending(draft, [
      wordy('f', 50),
      wordy('g', 80),
      wordy('f', 30),
      second,
      wordy('h', 50),
      wordy('i', 90),
    ]);
    const best = `${wordy('f', 50)}\n\n${wordy('g', 80)}`;
    t.deepEqual(outlines.slice(3, 6), [best, wordy('f', 50), best], name);
    t.is(textOf(outcome)!.words, 140, name);
  }
});

test('an instruction is rewritten until it has the numbers of its demand, and keeps its text and its own wording', async (t) => {
  const record = { ...draftOf('It is so.'), demand: { above: 3000 }, phrase: 'at least 3000 words', numbers: ['3000'] };
  const { context } = noting(['Write on tides.', 'Here is the instruction: Write 3,000 words or more on tides.'], restate.render);
  const kept = {
    instruction: 'Write 3,000 words or more on tides.',
    bare: 'Write on tides.',
    text: 'It is so.',
    words: 3,
    demand: { above: 3000 },
  };
  t.deepEqual(await rewrite.run(record, context, defaults), { kept: [kept] });
  const { context: never } = noting(['Write on tides.', 'Write long.', 'Write at length.'], restate.render);
  t.deepEqual(await rewrite.run(record, never, defaults), { dropped: 'no-demand', evidence: 'Write at length.' });
});

test('a demand of a Chinese instruction is in Chinese, spelled for half of them', (t) => {
  const random = randomOf('chinese');
  const phrases = Array.from({ length: 200 }, () => {
    const context = { random: () => random } as unknown as Context<never>;
    const outcome = demandLength.run({ instruction: '写一篇关于潮汐的文章。', text: '文。', words: 3000 }, context, defaults);
    return (outcome as Extract<typeof outcome, { kept: unknown }>).kept[0]!.phrase;
  });
  t.true(phrases.every((phrase) => phrase.includes('字')));
  const spelled = phrases.filter((phrase) => !/\d/.test(phrase)).length;
  t.true(spelled > 70 && spelled < 130, `${spelled} are spelled`);
});

test('6 a line stays in the outline with a probability of 0.8, in its order, and one of them always', (t) => {
  const random = randomOf('lines');
  const context = { random: () => random } as unknown as Context<never>;
  const initial = Array.from({ length: 2000 }, (_, n) => `line ${n}.`).join('\n\n');
  const outlineOf = (text: string, keepLine: number) => {
    const outcome = thin.run({ ...draftOf('long.'), initial: text }, context, { keepLine });
    return (outcome as Extract<typeof outcome, { kept: unknown }>).kept[0]!.outline;
  };
  const numbers = outlineOf(initial, 0.8)
    .split('\n\n')
    .map((line) => Number(/^line (\d+)\.$/.exec(line)![1]));
  t.true(Math.abs(numbers.length / 2000 - 0.8) < 0.03, `${numbers.length} of 2000`);
  t.deepEqual(
    numbers,
    numbers.toSorted((a, b) => a - b),
  );
  t.is(outlineOf('One line.', 0), 'One line.');
});

test('an instruction has 4 to 499 words, suits a long text by the word yes alone, and is the third of a list', async (t) => {
  const proposing = async (replies: readonly string[], attempts = 1, drawn = ['Write on tides.', 'Write on winds.']) => {
    const { asked, context } = noting(replies, (slots: { examples?: string[] }) =>
      slots.examples ? invent.render(slots as never) : { messages: [{ role: 'user', content: 'Does it suit?' }] },
    );
    const params = { ...defaults, attempts: { ...defaults.attempts, propose: attempts } };
    const outcome = await propose.run({ drawn: drawn.map((instruction) => ({ instruction })) }, context, params);
    return { asked, outcome };
  };
  const { asked, outcome } = await proposing([' Write long on all rivers.\n4. Write on seas.', ' YES.']);
  t.deepEqual(outcome, { kept: [{ instruction: 'Write long on all rivers.' }] });
  t.is(asked[0]!.prefill, '1. Write on tides.\n2. Write on winds.\n3.');
  t.regex(asked[0]!.content, /^Make up several/);
  t.like(await proposing(['写一部关于江河的长篇小说。', '是'], 1, ['写一篇关于潮汐的文章。']), {
    outcome: { kept: [{ instruction: '写一部关于江河的长篇小说。' }] },
    asked: { 0: { prefill: '1. 写一篇关于潮汐的文章。\n2.' } },
  });
  for (const [replies, reason] of [
    [['Write it long.'], 'instruction-length'],
    [[wordy('x', 500)], 'instruction-length'],
    [['Write it very long.', 'No'], 'unsuitable'],
    [['Write it very long.', '否。'], 'unsuitable'],
    [['Write it very long.', 'Yes, it does'], 'no-verdict'],
    [['Write it very long.', 'Perhaps'], 'no-verdict'],
  ] as const)
    t.like(await proposing(replies), { outcome: { dropped: reason }, asked: { length: replies.length } }, replies.join());
  t.like((await proposing([wordy('x', 499), 'no', 'Write it very long.', 'yes'], 2)).outcome, {
    kept: [{ instruction: 'Write it very long.' }],
  });
});

test('a draft is written again until it passes the checks, at most twenty times', async (t) => {
  const writing = (replies: readonly (string | Reply)[]) =>
    write.run({ instruction: 'Write.' }, noting(replies, answer.render).context, defaults);
  t.deepEqual(await writing(['It is', { text: 'It is so.', finish: 'length' }, 'It is done.']), {
    kept: [{ instruction: 'Write.', text: 'It is done.', words: 3 }],
  });
  t.deepEqual(await writing(Array.from({ length: 21 }, () => 'It is')), { dropped: 'no-end', evidence: 'It is' });
  t.is(write.calls(defaults), 20);
});

test('what is in Chinese is requested in Chinese', (t) => {
  const instruction = '写一篇关于潮汐的文章。';
  const prompts = [
    invent.render({ examples: [instruction, instruction] }),
    suits.render({ instruction }),
    restate.render({ instruction, phrase: '四千字左右' }),
    enrich.render({ instruction, outline: '潮汐是海水的涨落。' }),
  ];
  for (const prompt of prompts) t.notRegex(JSON.stringify((prompt as { messages: unknown[] }).messages), /instruction|outline|write/i);
});
