import { breakPairs } from '../../operators/cycle-instruct/index.ts';
import test from 'ava';
import { dedup, diverse, draw, mix, repeat, select, spread, union, without } from '../../operators/std/index.ts';
import { dedupAmong } from '../../operators/std/dedup.ts';
import { Frequencies, SimilarSets } from '../../operators/std/similar.ts';
import { jaccard, shinglesOf } from '../../operators/std/shingles.ts';
import type { Rec } from '../../recipe/define.ts';
import { randomOf, rec, reduce, rows, type Split } from '../support/reduce.ts';

const random = randomOf('reducers');
const integer = (below: number) => Math.floor(random() * below);
const shuffled = <T>(items: readonly T[]): T[] =>
  items
    .map((item) => [random(), item] as const)
    .toSorted(([a], [b]) => a - b)
    .map(([, item]) => item);
type Scored = { readonly n: number; readonly score: number | null; readonly kind: string };
const scored = (count: number): Rec<Scored>[] =>
  Array.from({ length: count }, (_, n) => rec({ n, score: integer(4) === 0 ? null : integer(10), kind: 'abc'[integer(3)]! }));
const ids = ({ kept }: Split) => kept.map(({ id }) => id);
const reasons = ({ dropped }: Split) => [...new Set(dropped.map(({ reason }) => reason))].sort();
/** What enters leaves once, kept in its order or dropped. */
const conserved = (split: Split, input: readonly Rec<unknown>[]) => {
  const kept = new Set(ids(split));
  const all = [...kept, ...split.dropped.map(({ id }) => id)].sort();
  return (
    JSON.stringify(all) === JSON.stringify(input.map(({ id }) => id).sort()) &&
    JSON.stringify(ids(split)) === JSON.stringify(input.map(({ id }) => id).filter((id) => kept.has(id)))
  );
};

test('select: where keeps exactly what passes every test, and says of the others what they are', async (t) => {
  for (let run = 0; run < 20; run++) {
    const input = scored(60);
    const [low, high] = [integer(10), integer(10)];
    const split = await reduce(
      select,
      { of: rows(input) },
      { where: { score: { atLeast: low, atMost: high }, kind: { oneOf: ['a', 'b'] } } },
    );
    t.true(conserved(split, input));
    t.deepEqual(
      ids(split),
      input.filter(({ value: { score, kind } }) => score !== null && score >= low && score <= high && kind !== 'c').map(({ id }) => id),
    );
  }
  const input = scored(60);
  t.deepEqual(
    ids(await reduce(select, { of: rows(input) }, { where: { kind: 'a', score: null } })),
    input.filter(({ value }) => value.kind === 'a' && value.score === null).map(({ id }) => id),
  );
  const split = await reduce(select, { of: rows([rec({ score: 3 })]) }, { where: { score: { atLeast: 4.5 } } });
  t.deepEqual(split.dropped[0], { id: rec({ score: 3 }).id, reason: 'where', evidence: 'score is 3' });
  t.throws(() => select.params!.parse({ where: { score: { atleast: 4 } } }), undefined, 'a test that is misspelt is no equality');
});

test('select: best keeps the highest or lowest, ties by id, whatever the order of the records', async (t) => {
  for (let run = 0; run < 20; run++) {
    const input = scored(50);
    const order = run % 2 === 0 ? 'highest' : 'lowest';
    const [share, count] = [integer(101) / 100, integer(50)];
    const rule = { best: { by: 'score', order, share, count } };
    const split = await reduce(select, { of: rows(input) }, rule);
    const numbers = input.filter(({ value }) => value.score !== null);
    const wanted = Math.min(Math.floor((Math.round(share * 100) * 50) / 100), count, numbers.length);
    t.is(split.kept.length, wanted);
    t.true(conserved(split, input));
    const key = ({ id, value }: Rec<Scored>) => [order === 'highest' ? -value.score! : value.score!, id] as const;
    const sorted = numbers.toSorted((a, b) => key(a)[0] - key(b)[0] || (key(a)[1] < key(b)[1] ? -1 : 1));
    t.deepEqual(
      ids(split).toSorted(),
      sorted
        .slice(0, wanted)
        .map(({ id }) => id)
        .toSorted(),
    );
    t.deepEqual(ids(await reduce(select, { of: rows(shuffled(input)) }, rule)).toSorted(), ids(split).toSorted());
  }
});

test('select: take is a fair sample, the same for the same seed, whatever the order of the records', async (t) => {
  const input = scored(20);
  const times = new Map(input.map(({ id }) => [id, 0]));
  for (let seed = 0; seed < 400; seed++) {
    const split = await reduce(select, { of: rows(input) }, { take: 5 }, seed);
    t.is(split.kept.length, 5);
    for (const id of ids(split)) times.set(id, times.get(id)! + 1);
    if (seed > 10) continue;
    t.true(conserved(split, input));
    t.deepEqual(ids(await reduce(select, { of: rows(shuffled(input)) }, { take: 5 }, seed)).toSorted(), ids(split).toSorted());
  }
  for (const drawn of times.values()) t.true(drawn > 60 && drawn < 140, `drawn ${drawn} times and not about 100`);
  t.deepEqual([select.stochastic({ take: 5, where: {} }), select.stochastic({ where: {} })], [true, false]);
});

test('select: filter, then rank, then as many as another dataset has', async (t) => {
  const input = scored(80);
  const split = await reduce(
    select,
    { of: rows(input) },
    { where: { kind: 'a' }, best: { by: 'score', order: 'highest', share: 0.5 }, take: { as: rows(scored(3)) } },
  );
  t.is(split.kept.length, 3);
  t.true(conserved(split, input));
  t.deepEqual(reasons(split), ['not-best', 'not-taken', 'where']);
  t.is((await reduce(select, { of: rows(input) }, { take: { as: rows(scored(100)) } })).kept.length, 80, 'fewer are what there is');
  const several = [rows(scored(40)), rows(scored(7)), rows(scored(100))];
  t.is((await reduce(select, { of: rows(input) }, { take: { as: several } })).kept.length, 7);
  t.is((await reduce(select, { of: rows(input) }, { take: { as: several, most: 5 } })).kept.length, 5);
});

test('mix keeps every record of every part, under its name', async (t) => {
  const [seed, augmented] = [scored(5), scored(7)];
  const { kept, dropped } = await reduce(mix, { seed: rows(seed), augmented: rows(augmented) });
  t.deepEqual(
    kept.map(({ from, value }) => [from[0], value]),
    [
      ...seed.map(({ id, value }) => [id, { ...value, part: 'seed' }]),
      ...augmented.map(({ id, value }) => [id, { ...value, part: 'augmented' }]),
    ],
  );
  t.deepEqual(dropped, []);
  const same = await reduce(mix, { a: rows(seed), b: rows(seed) });
  t.is(new Set(ids(same)).size, 10, 'one record in two parts is two');
});

test('union keeps equal ids once, without those of another on a field', async (t) => {
  const [a, b] = [scored(30), scored(30)];
  const both = await reduce(union, [rows(a), rows([...b, ...a.slice(0, 4)])]);
  t.deepEqual(
    ids(both),
    [...a, ...b].map(({ id }) => id).filter((id, i, all) => all.indexOf(id) === i),
  );
  t.deepEqual(reasons(both), ['duplicate']);
  t.is(both.kept.length + both.dropped.length, 64);

  const left = await reduce(without, { left: rows(a), right: rows(b.slice(0, 3)) }, { on: 'kind' });
  const gone = new Set(b.slice(0, 3).map(({ value }) => value.kind));
  t.true(conserved(left, a));
  t.deepEqual(
    ids(left),
    a.filter(({ value }) => !gone.has(value.kind)).map(({ id }) => id),
  );
});

test('repeat gives every record so many times, copies side by side with ids of their own, and plan counts them', async (t) => {
  const input = scored(4);
  const { kept, dropped } = await reduce(repeat, { of: rows(input) }, { times: 3 });
  t.deepEqual(
    kept.map(({ from, value }) => [from, value]),
    input.flatMap(({ id, value }) => Array.from({ length: 3 }, () => [[id], value])),
  );
  t.is(new Set([...kept, ...input].map(({ id }) => id)).size, 16);
  t.deepEqual(dropped, []);
  t.deepEqual((await reduce(repeat, { of: rows(input) }, { times: 3 })).kept, kept);
  t.is(repeat.maxRows(4, { times: 3 }), kept.length);
  t.throws(() => repeat.params!.parse({ times: 0 }));
});

test('draw gives tasks of different records, again for the same seed, with ids of their own', async (t) => {
  const input = scored(6);
  const once = await reduce(draw, { of: rows(input) }, { count: 50, each: 2 }, 1);
  t.is(once.kept.length, 50);
  t.is(new Set(ids(once)).size, 50);
  for (const { from, value } of once.kept) {
    t.is(new Set(from).size, 2);
    t.deepEqual(
      value['drawn'],
      from.map((id) => input.find((record) => record.id === id)!.value),
    );
  }
  t.deepEqual(await reduce(draw, { of: rows(input) }, { count: 50, each: 2 }, 1), once);
  t.notDeepEqual(ids(await reduce(draw, { of: rows(input) }, { count: 50, each: 2 }, 2)), ids(once));
  t.deepEqual((await reduce(draw, { of: rows(input) }, { count: 5, each: 7 })).kept, []);
});

test('diverse keeps what was picked, in its order, and tells why the rest went', async (t) => {
  const texts = ['a', 'b', 'c', 'd'].map((text) => rec({ text }));
  const picks = [0, null, 2, 1];
  const { kept, dropped } = await reduce(diverse, { of: rows(texts) }, { on: 'text', count: 3 }, 0, async function* () {
    for (const pick of picks) yield { cluster: 0, distance: 0, pick };
  });
  t.deepEqual(
    kept.map(({ value }) => value['text']),
    ['a', 'c', 'd'],
  );
  t.like(dropped, [{ id: texts[1]!.id, reason: 'not-diverse' }]);
  t.deepEqual(diverse.embeds!.settings({ on: 'text', count: 3, maxTokens: 9 }), { picks: 3, maxTokens: 9 });
  t.false(diverse.stochastic({ on: 'text', count: 3, maxTokens: 9 }), 'another seed picks the same');
  t.is(diverse.maxRows(2, { on: 'text', count: 3, maxTokens: 9 }), 2);
});

test('spread gives mean and sample deviation', async (t) => {
  const run = spread.run as (reports: unknown, params: object, reading: never) => Promise<object>;
  t.deepEqual(await run([{ exact: 1 }, { exact: 2 }, { exact: 6 }], {}, undefined as never), { exactMean: 3, exactStd: Math.sqrt(7) });
  t.deepEqual(await run([{ exact: 0.5 }], {}, undefined as never), { exactMean: 0.5, exactStd: 0 });
});

const words = Array.from({ length: 3000 }, (_, n) => `w${n.toString(36)}`);
const textOf = (length: number) => Array.from({ length }, () => words[integer(words.length)]!);

test('dedup finds what is as near as asked, keeps the first of each, and nothing else goes', async (t) => {
  const originals = Array.from({ length: 400 }, () => textOf(75));
  const near = originals.slice(0, 200).map((text) => text.map((word, i) => (i % 25 === 7 ? `${word}x` : word))); // 3 words of 75
  const input = [...originals, ...near].map((text) => rec({ text: text.join(' ') }));
  const split = await reduce(dedup, { of: rows(input) }, { on: 'text', jaccard: 0.5 });
  t.true(conserved(split, input));
  t.deepEqual(
    ids(split).slice(0, 400),
    input.slice(0, 400).map(({ id }) => id),
    'an original never goes',
  );
  t.true(split.dropped.length >= 198, `${split.dropped.length} of 200`);
  for (const { id, evidence } of split.dropped) {
    const [twin, other] = [id, evidence!.replace('of ', '')].map((wanted) =>
      shinglesOf(input.find((one) => one.id === wanted)!.value.text),
    );
    t.true(jaccard(twin!, other!) >= 0.5);
  }
  t.deepEqual((await reduce(dedup, { of: rows(input) }, { on: 'text', jaccard: 1 })).dropped, []);
});

/** What comparing every record with every one that was kept drops, and of which earliest one it is a twin. */
function byBruteForce(input: readonly Rec<{ readonly text: string }>[], limit: number): string[] {
  const kept: { readonly id: string; readonly set: Uint32Array }[] = [];
  return input.flatMap(({ id, value }) => {
    const set = shinglesOf(value.text);
    const twin = kept.find((other) => jaccard(set, other.set) >= limit);
    if (!twin) kept.push({ id, set });
    return twin ? [`${id} of ${twin.id}`] : [];
  });
}

test('dedup drops exactly what comparing all pairs does: of templates, of mutations, of texts of any length', async (t) => {
  const template = textOf(80);
  const page = () => template.map((word, i) => (i % 9 === 4 || integer(12) === 0 ? words[integer(words.length)]! : word)).join(' ');
  const blocks = Array.from({ length: 6 }, () => textOf(14).join(' '));
  const built = () => blocks.filter(() => integer(3) > 0).join(' ') || 'none';
  const some = Array.from({ length: 30 }, () => textOf(1 + integer(40)));
  const mutated = () => {
    const of = some[integer(some.length)]!.slice(0, 1 + integer(45));
    return of.map((word) => (integer(15) === 0 ? words[integer(words.length)]! : word)).join(' ');
  };
  const input = shuffled([page, built, mutated].flatMap((make) => Array.from({ length: 150 }, () => rec({ text: make(), n: random() }))));
  for (const limit of [0.2, 0.5, 0.6, 0.7, 0.75, 0.9, 1]) {
    const split = await reduce(dedup, { of: rows(input) }, { on: 'text', jaccard: limit });
    const expected = byBruteForce(input, limit);
    t.deepEqual(
      split.dropped.map(({ id, evidence }) => `${id} ${evidence}`),
      expected,
      `${limit}`,
    );
    t.true(expected.length > 0);
    const fewer = (await reduce(dedupAmong(0), { of: rows(input) }, { on: 'text', jaccard: limit })).dropped;
    if (limit >= 0.7) t.is(fewer.length, expected.length, `by MinHash, ${limit}`);
  }
});

test('of thousands of pages of one template, none of which is a twin of another, next to no pair is compared', (t) => {
  const template = textOf(150);
  const frequencies = new Frequencies();
  const pages = Array.from({ length: 5000 }, (_, n) => shinglesOf(template.map((w, i) => (i % 14 === 3 ? `${n}x${i}` : w)).join(' ')));
  for (const page of pages) frequencies.add(page);
  const kept = new SimilarSets(0.7, frequencies);
  for (const page of pages) {
    t.is(kept.findSimilar(page), undefined);
    kept.add(page);
  }
  t.true(jaccard(pages[0]!, pages[1]!) > 0.6);
  t.true(kept.compared < pages.length, `${kept.compared} of 12 million`);
});

test('dedup sees through case, punctuation and width, and takes short texts, signs and Han as they are', async (t) => {
  const texts = ['Hello, World!', 'hello world', 'Ｈello world', 'goodbye', '???', '!!!', '今日は天気がいい', '今日は天気が悪い', ''];
  const split = await reduce(dedup, { of: rows(texts.map((text, n) => rec({ n, text }))) }, { on: 'text', jaccard: 0.99 });
  t.deepEqual(
    split.kept.map(({ value }) => value['text']),
    ['Hello, World!', 'goodbye', '???', '!!!', '今日は天気がいい', '今日は天気が悪い', ''],
  );
});

test('a pair whose half that is taken is no text, or an empty one, is dropped and no other with it', async (t) => {
  const pairs = Array.from({ length: 40 }, (_, n) => rec({ instruction: `Why ${n}?`, response: `So ${n}.` }));
  const odd = [rec({ instruction: ' ', response: '' }), rec({ prompt: 'a' })];
  const { kept, dropped } = await reduce(breakPairs, { of: rows<object>([...odd, ...pairs]) }, { seed: 0 });
  t.is(kept.length, 40);
  t.deepEqual(
    dropped.map(({ id, reason }) => [id, reason]),
    [
      [odd[0]!.id, 'empty'],
      [odd[1]!.id, 'invalid'],
    ],
  );
});
