/** What a person decides about a sample of records, by keys and in Argilla, and what becomes of the records. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { reviewByKeys, type Desk } from '../../cli/terminal/review.ts';
import { argillaRecords, readArgilla } from '../../experiments/argilla.ts';
import { commitReview, countsOf, decide, openReview, type Review, type Values } from '../../experiments/review.ts';
import { precisionText } from '../../schemas/precision.ts';
import { pathsOf } from '../../store/paths.ts';
import { judgedHome, type Judged } from '../support/judged.ts';
import { review as reviewReducer } from '../../operators/std/index.ts';
import { reduce, rows } from '../support/reduce.ts';

/** A review of 20 judged pairs in a home of its own. */
async function begun(count = 20): Promise<{ home: Judged; open: (sample?: number) => Promise<Review> }> {
  const home = await judgedHome(60);
  const record = (await home.store.experiment('judged'))!;
  return { home, open: (sample = count) => openReview(home.store, record, 'r1/judge', sample) };
}

/** Presses keys at a review. `edit` gives the edited values. */
async function press(store: Judged['store'], review: Review, keys: string, edit: (value: Values) => Values = (value) => value) {
  const printed: string[] = [];
  const shown: Values[] = [];
  const desk: Desk = {
    keys: (async function* () {
      yield* keys;
    })(),
    print: (text) => printed.push(text),
    show: (value) => shown.push(value),
    edit: async (value) => edit(value),
  };
  return { ...(await reviewByKeys(desk, store, review)), printed, shown };
}

test('a sample is the same every time, and a larger one begins with it', async (t) => {
  const { open } = await begun();
  const ids = async (count: number) => (await open(count)).records.map(({ id }) => id);
  const [ten, again, all] = [await ids(10), await ids(10), await ids(1000)];
  t.deepEqual(ten, again);
  t.deepEqual(all.slice(0, 10), ten);
  t.is(new Set(all).size, 54);
  t.notDeepEqual(all, all.toSorted());
});

test('keys decide about one record after the other, and each decision is kept at once', async (t) => {
  const { home, open } = await begun();
  const { send, printed } = await press(home.store, await open(), 'aarnxq');
  t.false(send);
  const review = await open(); // as another process reads it
  const [first, second, third, fourth] = review.records.map(({ id }) => review.verdicts.get(id)?.verdict);
  t.deepEqual([first, second, third, fourth], ['approve', 'approve', 'reject', undefined]);
  t.regex(printed.at(-1)!, /record 5 of 20, 3 have a verdict/);
  t.is(precisionText(countsOf(review)), '2 of 3 approved, a precision of 0.67 (95 % interval 0.21 to 0.94); 1 rejected, 0 edited');
});

test('a skipped record comes back behind the last one, and then the review can be sent', async (t) => {
  const { home, open } = await begun(3);
  const { send, shown, printed } = await press(home.store, await open(), 'naaas');
  t.true(send);
  t.is(shown.length, 4);
  t.deepEqual(shown[0], shown[3]);
  t.regex(printed.at(-1)!, /Every record has a verdict/);
});

test('an edit keeps fields and types; another is refused with its reason, and the record stays open', async (t) => {
  const { home, open } = await begun();
  const edits: readonly (readonly [(value: Values) => Values, RegExp])[] = [
    [(value) => value, /it changes nothing, so approve the record/],
    [({ score: _, ...value }) => value, /it lacks score/],
    [(value) => ({ ...value, more: 1 }), /the record has no more/],
    [(value) => ({ ...value, score: 'four' }), /score was a number and is a string now/],
  ];
  for (const [edit, says] of edits) {
    const { printed } = await press(home.store, await open(), 'e', edit);
    t.regex(printed.at(-1)!, says);
  }
  t.is((await open()).verdicts.size, 0);
  await press(home.store, await open(), 'e', (value) => ({ ...value, response: 'better' }));
  const { records, verdicts } = await open();
  t.like(verdicts.get(records[0]!.id), { verdict: 'edit', value: { ...records[0]!.value, response: 'better' } });
});

test('a verdict in a damaged file is named, and not taken for none', async (t) => {
  const { home, open } = await begun();
  await press(home.store, await open(), 'aa');
  const { of, records } = await open();
  const file = join(pathsOf(home.store.root).review(of.digest), `${records[0]!.id}.json`);
  writeFileSync(file, '{}');
  const { message } = await t.throwsAsync(open(), { name: 'ArtifactDamaged' });
  t.true(message.includes(file), message);
});

test('a record that is not of the sample is refused', async (t) => {
  const { home, open } = await begun(5);
  const other = (await open(6)).records[5]!.id;
  await t.throwsAsync(decide(home.store, await open(5), other, { verdict: 'approve' }), { message: /is not of the sample under review/ });
});

test('verdicts are a dataset, the same for the same decisions in any order', async (t) => {
  const { home, open } = await begun(3);
  const other = await begun(3);
  await press(home.store, await open(), 'arr');
  const review = await other.open();
  for (const [n, verdict] of [
    [2, 'reject'],
    [0, 'approve'],
    [1, 'approve'],
    [1, 'reject'],
  ] as const)
    await decide(other.home.store, review, review.records[n]!.id, { verdict });
  const [one, two] = [
    await commitReview(home.store, await open(), 'drop'),
    await commitReview(other.home.store, await other.open(), 'drop'),
  ];
  t.deepEqual(one, two);
  t.is(one.verdicts.rows, 3);
});

test('a review drops rejected records with their notes, puts edited ones in their places, and leaves the rest', async (t) => {
  const of = ['a', 'b', 'c', 'd'].map((id) => ({ id, from: [], value: { text: id } }));
  const verdict = (id: string, what: string, more = {}) => ({ of: id, verdict: what, note: null, value: null, ...more });
  const verdicts = [verdict('a', 'approve'), verdict('b', 'reject', { note: 'rude' }), verdict('c', 'edit', { value: { text: 'C' } })];
  const inputs = { of: rows(of), verdicts: rows(verdicts.map((value) => ({ id: `v${value.of}`, from: [value.of], value }))) };
  const dropping = await reduce(reviewReducer, inputs, { rejected: 'drop' });
  t.deepEqual(texts(dropping.kept), ['a', 'C', 'd']);
  t.deepEqual(dropping.kept[1]!.from, ['c']);
  t.deepEqual(dropping.dropped, [{ id: 'b', reason: 'reviewed', evidence: 'rude' }]);
  t.deepEqual(texts((await reduce(reviewReducer, inputs, { rejected: 'keep' })).kept), ['a', 'b', 'C', 'd']);
});
const texts = (records: readonly { readonly value: unknown }[]) => records.map(({ value }) => (value as { text: string }).text);

/** Argilla's file with responses to the first records. */
const responded = (review: Review, ...responses: readonly object[]) =>
  argillaRecords(review).map((record, n) => ({ ...record, responses: responses[n] ?? {} }));
const said = (...values: readonly string[]) => values.map((value, n) => ({ value, user_id: `user-${n}` }));

test("Argilla's records come back as verdicts: of several reviewers the majority, and edits by field", async (t) => {
  const { open } = await begun();
  const review = await open();
  const records = responded(
    review,
    { verdict: said('approve', 'reject', 'approve') },
    { verdict: said('approve', 'reject') },
    { verdict: said('edit'), edited_response: said('better'), edited_score: said('2'), note: said('too short') },
  );
  for (const text of [JSON.stringify(records), records.map((one) => JSON.stringify(one)).join('\n')]) {
    const { verdicts, undecided, open: left } = readArgilla(text, 'argilla.json', review);
    const [first, second, third] = review.records;
    t.deepEqual(undecided, [second!.id]);
    t.is(left, 17);
    t.deepEqual(verdicts, [
      { of: first!.id, verdict: 'approve', note: null, value: null },
      { of: third!.id, verdict: 'edit', note: 'too short', value: { ...third!.value, response: 'better', score: 2 } },
    ]);
  }
});

test('what has been decided goes to Argilla as suggestions, and every field as a text', async (t) => {
  const { home, open } = await begun();
  await press(home.store, await open(), 'e', (value) => ({ ...value, response: 'better' }));
  const review = await open();
  const [first, second] = argillaRecords(review) as Record<string, Record<string, unknown>>[];
  t.deepEqual(first!['suggestions'], {
    verdict: { value: 'edit', score: null, agent: 'backspin' },
    edited_response: { value: 'better', score: null, agent: 'backspin' },
  });
  t.deepEqual(second!['suggestions'], {});
  t.true(Object.values(first!['fields']!).every((field) => typeof field === 'string'));
});

const mistaken = test.macro(async (t: ExecutionContext, spoil: (records: object[]) => string, says: RegExp) => {
  const review = await (await begun()).open();
  t.throws(() => readArgilla(spoil(responded(review)), 'in.jsonl', review), { name: 'ConfigError', message: says });
});
test('not JSON', mistaken, () => '{}\n{', /^in\.jsonl, line 2 is not JSON\.$/);
test('no record', mistaken, () => '{"text": 1}', /^in\.jsonl, record 1 is no record of Argilla/);
test('of another sample', mistaken, () => '{"id": "x"}', /^in\.jsonl, record 1: x is not of the sample/);
test(
  'another verdict',
  mistaken,
  ([first]) => JSON.stringify({ ...first, responses: { verdict: said('good') } }),
  /record 1: the verdict "good" is none of approve, reject, edit/,
);
