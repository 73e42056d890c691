/** The rules of CRAB on many responses, its replies, and its rows from tens of thousands of pairs. */
import test from 'ava';
import { compose, longEnough } from '../../operators/crab/index.ts';
import { deriveConstraints } from '../../operators/crab/derive.ts';
import { drawCount, forwardRow, groupsOf, weightsOf, type Pair } from '../../operators/crab/forward.ts';
import { keywordsOf } from '../../operators/crab/keywords.ts';
import { parseConstraints, parseRefined, parseVerdict } from '../../operators/crab/parse.ts';
import type { Composed, Tidied } from '../../operators/crab/records.ts';
import { reverseRow } from '../../operators/crab/reverse.ts';
import { rougeL, withoutTwins } from '../../operators/crab/similar.ts';
import { meets } from '../../operators/rules/index.ts';
import { composition } from '../../schemas/recipes/crab.ts';
import { constraintTypes } from '../../schemas/recipes/crab-types.ts';
import { randomOf, rec, reduce, rows } from '../support/reduce.ts';

const numbers = (count: number) => Array.from({ length: count }, (_, n) => n);

test('a response of the least number of words enters, and of the shorter ones the share that was said', async (t) => {
  const entering = async (words: number, bypass: number, seed = 0) => {
    const pair = { instruction: 'Do.', response: 'word '.repeat(words), source: 'one' };
    return 'kept' in (await longEnough.run(pair, { random: () => randomOf(seed) } as never, { minWords: 200, bypass }));
  };
  t.deepEqual([await entering(199, 0), await entering(200, 0)], [false, true]);
  const entered = (await Promise.all(numbers(2000).map((seed) => entering(10, 0.1, seed)))).filter(Boolean).length;
  t.true(Math.abs(entered / 2000 - 0.1) < 0.03, `${entered} of 2000`);
});

test('3 of w words a response has at least the minimum and at most the maximum; around is w in whole tens', async (t) => {
  const forms = new Set<string>();
  for (const w of [1, 2, 3, 9, 10, 11, 19, 20, 37, 99, 100, 204, 999])
    for (const seed of numbers(40)) {
      const response = 'word '.repeat(w);
      const { rule } = deriveConstraints(response, 'corrected', randomOf(seed)).find(({ type }) => type === 'length')!;
      const { atLeast, atMost, around } = rule!.params as { atLeast?: number; atMost?: number; around?: number };
      forms.add(Object.keys(rule!.params).join());
      if (atLeast !== undefined) t.true(atLeast <= w && atLeast >= Math.min(w, 3) && atLeast >= Math.min(w, 10 * Math.floor(w / 10) - 20));
      if (atMost !== undefined) t.true(atMost >= w && atMost <= 10 * (Math.floor(w / 10) + 3));
      if (around !== undefined) t.is(around, w < 10 ? 10 : 10 * Math.floor(w / 10));
      t.true(await meets(response, rule!));
    }
  t.deepEqual([...forms].toSorted(), ['around', 'atLeast', 'atLeast,atMost', 'atMost']);
});

const responses = [
  'Rivers begin in the hills. Do they end in the sea? Many rivers do, as Mr. Smith says: they flow on.\n\n1. The Rhine.\n2. The Danube, which is longer.',
  '河流从山上流下来。河流很长，流入大海！\n\n很多人住在河边。',
  '# Title\n\n- a list of things\n- without full stops\n- but with internationalization\n\n```\ncode(x, y)\n```',
  '"Yes."',
  'すべての川は海に流れる。川は長い。',
];
test('8 whatever the response, each corrected rule is true of it; the published rule for words is false wherever there is one', async (t) => {
  const found = new Set<string>();
  for (const response of responses)
    for (const seed of numbers(20)) {
      const ruled = deriveConstraints(response, 'corrected', randomOf(seed));
      t.is(new Set(ruled.map(({ type }) => type)).size, ruled.length);
      for (const { rule, type } of ruled) {
        found.add(type);
        t.true(await meets(response, rule!), `${JSON.stringify(rule)}: ${response}`);
      }
      const published = deriveConstraints(response, 'reference', randomOf(seed)).find(({ type }) => type === 'characters_per_word');
      if (published && response !== responses[3]) t.false(await meets(response, published.rule!));
    }
  t.is(found.size, 6);
});

test('the published rule for paragraphs counts the shortest one, and is false of a longer one', async (t) => {
  const response = 'One is. Two is.\n\nOne is. Two is. Three is. Four is. Five is.';
  const of = (rules: 'corrected' | 'reference', seed: number) =>
    deriveConstraints(response, rules, randomOf(seed)).find(({ type }) => type === 'sentences_per_paragraph')!.rule!;
  for (const seed of numbers(20)) {
    t.true(await meets(response, of('corrected', seed)));
    t.false(await meets(response, of('reference', seed)));
  }
});

test('keywords occur twice or more, those first that stand beside few other words, and at most as many as wanted', (t) => {
  const text =
    'The steam turbine turns. Build a steam turbine, which works. Paint it, which costs. A steam turbine needs which water? Once upon a time.';
  t.deepEqual(keywordsOf(text, 3).toSorted(), ['steam', 'turbine', 'which']);
  t.is(keywordsOf(text, 3).at(-1), 'which');
  t.is(keywordsOf(text, 1).length, 1);
  t.deepEqual(keywordsOf('Every word differs here.', 3), []);
  t.deepEqual(keywordsOf('', 3), []);
});

test('ROUGE-L is the F1 of the longest common subsequence of words', (t) => {
  t.is(rougeL('the cat sat', 'The cat sat down'), 6 / 7);
  t.is(rougeL('a b c d', 'd c b a'), 1 / 4);
  t.is(rougeL('a', ''), 0);
  t.is(rougeL('', ''), 0);
});

test('5 of constraints that say the same the one with the most twins goes first, so that as many as possible stay', (t) => {
  const items = ['a b c d e', 'b c d e f', 'c d e f g', 'x y z'].map((text) => ({ text }));
  t.true(rougeL('a b c d e', 'c d e f g') <= 0.6);
  t.deepEqual(
    withoutTwins(items, 0.6).map(({ text }) => text),
    ['a b c d e', 'c d e f g', 'x y z'],
  );
  t.deepEqual(withoutTwins(items.slice(0, 2), 0.6), items.slice(0, 1), 'of two twins the first stays, which a rule may have made');
  t.deepEqual(withoutTwins(items.slice(0, 1), 0), items.slice(0, 1));
  t.deepEqual(withoutTwins([], 0.6), []);
});

test('4 what verdicts say', (t) => {
  const verdict = (satisfaction: string, validity: string, modified = 'Do this.') =>
    JSON.stringify({ satisfaction, explanation: '', modified_constraint: modified, constraint_validity: validity });
  t.is(parseVerdict(verdict('NO', 'NO')), 'delete');
  t.deepEqual(parseVerdict(verdict('NO', 'YES')), { replace: 'Do this.' });
  t.deepEqual(
    ['YES', 'NO'].map((validity) => parseVerdict(verdict('YES', validity))),
    ['keep', 'keep'],
  );
  t.deepEqual(parseVerdict(`Here:\n\`\`\`json\n${verdict('No', 'yes')}\n\`\`\``), { replace: 'Do this.' });
  t.is(parseVerdict(verdict('NO', 'YES', ' ')), 'delete', 'there is nothing in its place');
  for (const reply of ['', 'NO', '{"satisfaction": "NO"}', '["NO"]', verdict('NO', 'PERHAPS'), '{"satisfaction": "NO",'])
    t.is(parseVerdict(reply), undefined, reply);
});

test('what lists of constraints and refined instructions say', (t) => {
  const read = (reply: object | string, response = '- a') =>
    parseConstraints(typeof reply === 'string' ? reply : JSON.stringify(reply), constraintTypes, response)?.map(({ type }) => type);
  t.deepEqual(read({ meaning: 'Say it.', order: 'NULL', language: ' ', grammar: 3, own_type: 'Do it.', '': 'x' }), ['meaning', 'own_type']);
  t.deepEqual(read({ item_format: 'Begin items by -.', emphasis: 'Use **bold**.', meaning: 'Use **bold**.' }), ['item_format', 'meaning']);
  t.is(read('no JSON'), undefined);
  t.is(read('["a"]'), undefined);
  t.is(parseRefined('### Refined Instruction:\n\nDescribe it.'), 'Describe it.');
  t.is(parseRefined('"Describe it."'), 'Describe it.');
});

const settings = composition.parse({});
/** A pair with constraints of the first `count` types, of which all have the first. */
const pairOf = (n: number, count = 8, more: Partial<Tidied> = {}): Pair =>
  rec({
    instruction: `Do ${n}.`,
    response: `Response ${n}.`,
    source: n % 2 ? 'odd' : 'even',
    refined: `Do ${n} in full detail.`,
    constraints: constraintTypes.slice(0, count).map(({ name }) => ({ type: name, text: `Heed ${name} of ${n}!`, rule: null })),
    unread: [],
    overlap: 0,
    ...more,
  });
const heeded = (content: string): string[] => content.match(/Heed \w+ of \d+!/g) ?? [];

test('6 with the defaults: 9,450 forward and 4,050 reverse rows, and no pair in two rows', async (t) => {
  const pairs = numbers(30_000).map((n) => pairOf(n));
  const of = async (params: object) => {
    const { kept } = await reduce(compose, { of: rows(pairs) }, { ...composition.parse(params), types: constraintTypes });
    const all = kept.map(({ value }) => value as unknown as Composed);
    return { forward: all.filter(({ weight }) => weight === undefined), reverse: all.filter(({ weight }) => weight !== undefined) };
  };
  const { forward, reverse } = await of({});
  t.deepEqual([forward.length, reverse.length], [9450, 4050]);
  const used = [...forward, ...reverse].flatMap((row) => row.pairs);
  t.is(new Set(used).size, used.length);
  t.true(forward.some((row) => row.pairs.length === 4));
  const capped = await of({ counts: { total: 1000, perSource: 300 } });
  for (const source of ['odd', 'even']) t.is(capped.forward.filter((row) => row.source === source).length, 300);
  t.is(capped.forward.length + capped.reverse.length, 1000);
});

test('with fewer pairs the shares stay, and other seeds choose others', async (t) => {
  const pairs = rows(numbers(100).map((n) => pairOf(n)));
  const params = { ...composition.parse({ demos: { rate: 0 } }), types: constraintTypes };
  const chosen = async (seed: number) => {
    const { kept } = await reduce(compose, { of: pairs }, params, seed);
    const all = kept.map(({ value }) => value as unknown as Composed);
    t.is(all.length, 100);
    return all.flatMap((row) => (row.weight === undefined ? row.pairs : [])).toSorted();
  };
  t.is((await chosen(0)).length, 70);
  t.deepEqual(await chosen(0), await chosen(0));
  t.notDeepEqual(await chosen(0), await chosen(1));
});

test('a pair demonstrates one other at most, which comes before it within the window, and is no root itself', (t) => {
  const pairs = numbers(300).map((n) => pairOf(n));
  const groups = groupsOf(pairs, { rate: 0.5, max: 3, window: 20 }, (id) => randomOf(id));
  const members = groups.flatMap(({ root, shots }) => [root, ...shots]);
  t.is(new Set(members).size, members.length);
  t.is(members.length, 300);
  for (const count of [0, 1, 2, 3]) t.true(groups.some(({ shots }) => shots.length === count));
  for (const { root, shots } of groups)
    for (const [n, shot] of shots.entries()) {
      const distance = pairs.indexOf(shot) - pairs.indexOf(root);
      t.true(distance > 0 && distance <= (n + 1) * 20 + 9 * 20);
    }
  t.true(groupsOf(pairs, { rate: 0, max: 3, window: 20 }, (id) => randomOf(id)).every(({ shots }) => shots.length === 0));
  const own = groupsOf(pairs, { rate: 1, max: 1, window: 1 }, (id) => randomOf(id));
  for (const { root, shots } of own) for (const shot of shots) t.is(pairs.indexOf(shot), pairs.indexOf(root) + 1);
});

test('an instruction has six to eight constraints, or in three of ten any number; never more than the pair has', (t) => {
  const draw = (available: number, anyNumber: number) =>
    new Set(numbers(300).map((seed) => drawCount(available, settings.forward.constraints, anyNumber, randomOf(seed))));
  t.deepEqual(
    [...draw(12, 0)].toSorted((a, b) => a - b),
    [6, 7, 8],
  );
  t.deepEqual(
    [...draw(12, 1)].toSorted((a, b) => a - b),
    numbers(12).map((n) => n + 1),
  );
  t.deepEqual([...draw(4, 0)], [4]);
  t.deepEqual([...draw(0, 1)], [0]);
});

test('the earlier turns have ever more constraints, and the last one the most; all are of their own pair', (t) => {
  const group = { root: pairOf(0), shots: [1, 2, 3].map((n) => pairOf(n)) };
  const weights = weightsOf([group.root, ...group.shots]);
  const seen = new Set<string>();
  for (const seed of numbers(100)) {
    const { messages, constraints } = forwardRow(group, weights, settings.forward, randomOf(seed));
    const asked = messages.filter(({ role }) => role === 'user').map(({ content }) => content);
    const counts = asked.map((content) => heeded(content).length);
    seen.add(counts.join());
    t.deepEqual(
      counts,
      counts.toSorted((a, b) => a - b),
    );
    t.true(counts.at(-1)! > counts.at(-2)!);
    t.is(counts.at(-1), constraints);
    for (const [n, content] of asked.entries()) {
      const of = [1, 2, 3, 0][n]!;
      t.true(heeded(content).every((one) => one.endsWith(` ${of}!`)));
      t.is(messages[2 * n + 1]!.content, `Response ${of}.`);
    }
  }
  t.true(seen.size > 20);
});

test('types that fewer pairs have are chosen more often', (t) => {
  const pairs = numbers(100).map((n) => pairOf(n, n < 50 ? 1 : 8));
  const weights = weightsOf(pairs);
  t.deepEqual([weights.get(constraintTypes[0]!.name), weights.get(constraintTypes[1]!.name)], [1, 0.5]);
  const one = { ...settings.forward, constraints: { min: 1, max: 1 }, anyNumber: 0 };
  const chosen = numbers(400).map(
    (seed) => heeded(forwardRow({ root: pairs[99]!, shots: [] }, weights, one, randomOf(seed)).messages[0]!.content)[0]!,
  );
  const common = chosen.filter((text) => text.includes(constraintTypes[0]!.name)).length;
  t.true(common < 20, `${common} of 400, where 50 would be its share`);
});

test('an instruction is the refined one but for three of ten, more where constraints repeat it, always where the refined one is shorter', (t) => {
  const originals = (more: Partial<Tidied>) =>
    numbers(600).filter((seed) => {
      const group = { root: pairOf(0, 8, more), shots: [] };
      const { content } = forwardRow(group, weightsOf([group.root]), settings.forward, randomOf(seed)).messages[0]!;
      return !content.includes('in full detail');
    }).length / 600;
  t.true(Math.abs(originals({}) - 0.3) < 0.06);
  t.true(Math.abs(originals({ overlap: 4 }) - 0.7) < 0.06);
  t.is(originals({ instruction: 'Do 0, as the long text below demands of everybody.' }), 1);
  t.is(originals({ refined: null }), 1);
});

test('a reverse request names types that all its pairs have; its answer has a constraint for each, and perhaps one more', (t) => {
  const group = { root: pairOf(0, 8), shots: [pairOf(1, 5)] };
  const reverse = { ...settings.reverse, refined: 0, others: 0 };
  const counts = new Set<number>();
  for (const seed of numbers(100)) {
    const { messages } = reverseRow(group, constraintTypes, reverse, randomOf(seed))!;
    const [first, second] = [1, 3].map((n) => heeded(messages[n]!.content)) as [string[], string[]];
    counts.add(second.length);
    t.deepEqual(
      first.map((text) => text.replace(' 1!', ' 0!')),
      second,
    );
    for (const text of second) {
      const about = constraintTypes.find(({ name }) => text.includes(` ${name} `))!.about;
      t.true(messages[2]!.content.includes(about));
      t.true(constraintTypes.findIndex((type) => type.about === about) < 5);
    }
    t.false(messages.some(({ role, content }) => role === 'assistant' && content.includes('full detail')));
  }
  t.deepEqual(
    [...counts].toSorted((a, b) => a - b),
    [1, 2, 3, 4, 5],
  );
  const others = numbers(100).map(
    (seed) => reverseRow(group, constraintTypes, { ...reverse, others: 1, anyNumber: 0 }, randomOf(seed))!.messages,
  );
  t.true(others.every((messages) => heeded(messages[3]!.content).length >= 4));
});

test('where there is nothing to ask for there is no reverse row; a refined instruction is enough', (t) => {
  const bare = pairOf(0, 0);
  t.is(reverseRow({ root: bare, shots: [] }, constraintTypes, { ...settings.reverse, refined: 0 }, randomOf(0)), undefined);
  const refined = reverseRow({ root: bare, shots: [] }, constraintTypes, { ...settings.reverse, refined: 1 }, randomOf(0))!;
  t.true(refined.messages[1]!.content.includes('Do 0 in full detail.'));
  const unrefined = pairOf(1, 4, { refined: null });
  const row = reverseRow({ root: unrefined, shots: [] }, constraintTypes, { ...settings.reverse, refined: 1 }, randomOf(0))!;
  t.true(heeded(row.messages[1]!.content).length > 0, 'it asks for constraints instead');
});
