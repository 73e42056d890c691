/** A review: a sample of the records of a step, what a person has decided about them so far, and the gate that waits for it. */
import type { DatasetRef } from '../schemas/call.ts';
import { canonicalJson, recordId, sha256 } from '../schemas/canonical.ts';
import type { BoundConfig } from '../schemas/config.ts';
import { BackspinError } from '../schemas/errors.ts';
import type { ExperimentRecord } from '../schemas/experiment.ts';
import type * as messages from '../schemas/messages.ts';
import type { ReviewCounts } from '../schemas/precision.ts';
import type { Verdict } from '../schemas/review.ts';
import type { Rec } from '../recipe/define.ts';
import { RECORDS } from '../steps/commit.ts';
import { putVerdict, verdictsOf } from '../store/reviews.ts';
import type { Store } from '../store/store.ts';
import { findStep, outputOf } from './steps.ts';
import { tablesOf } from './tables/steps.ts';

export type Values = Readonly<Record<string, unknown>>;

export interface Review {
  readonly experiment: string;
  /** Path of the step that gave the records. */
  readonly step: string;
  /** Path of the gate that holds them; null: none waits for them. */
  readonly gate: string | null;
  readonly of: DatasetRef;
  /** The sample, in a random order that is always the same. A larger sample begins with a smaller one. */
  readonly records: readonly Rec<Values>[];
  /** By id of the record, for records of the sample. */
  readonly verdicts: ReadonlyMap<string, Verdict>;
}

/** Records of a review if nobody says how many. */
const SAMPLE = 50;

/** `wanted`: a waiting gate, or any step with records; undefined: the only gate that waits. */
export async function openReview(
  store: Store,
  record: ExperimentRecord,
  wanted: string | undefined,
  count = (record.config as Partial<BoundConfig>).review ?? SAMPLE,
): Promise<Review> {
  const { step, of } = await recordsToReview(store, record, wanted);
  const gate = record.attention.find(({ records }) => records?.digest === of.digest)?.path ?? null;
  const records = await sampleOf(store, of, count);
  const decided = await verdictsOf(store, of.digest);
  const verdicts = new Map(records.flatMap(({ id }) => (decided.has(id) ? [[id, decided.get(id)!] as const] : [])));
  return { experiment: record.name, step, gate, of, records, verdicts };
}

async function recordsToReview(store: Store, record: ExperimentRecord, wanted: string | undefined) {
  const gates = record.attention.filter(({ records }) => records !== undefined);
  const named = wanted === undefined ? gates : gates.filter(({ path }) => path === wanted || path.endsWith(`/${wanted}`));
  if (named.length === 1) {
    const of = named[0]!.records!;
    const giving = record.steps.findLast(({ result }) => result !== null && canonicalJson(result).includes(of.digest));
    return { step: giving?.path ?? named[0]!.path, of };
  }
  if (wanted === undefined || named.length > 1)
    throw new BackspinError(
      'NotFound',
      named.length === 0
        ? `No gate of ${record.name} waits with records: name a step, such as \`backspin review ${record.name} STEP\`.`
        : `Several gates of ${record.name} wait; name one: ${named.map(({ path }) => path).join(', ')}.`,
    );
  const step = findStep(record, wanted);
  const table = tablesOf(step, await outputOf(store, record.name, step)).find(({ label }) => label !== 'dropped');
  if (!table) throw new BackspinError('NotFound', `The step ${step.path} has no records to review.`);
  return { step: step.path, of: table.ref };
}

/** Samples of the last datasets: a page asks for one at every key. */
const samples = new Map<string, Promise<readonly Rec<Values>[]>>();
const SAMPLES = 4;

function sampleOf(store: Store, of: DatasetRef, count: number): Promise<readonly Rec<Values>[]> {
  const key = `${store.root} ${of.digest} ${count}`;
  const known = samples.get(key) ?? drawSample(store, of, count);
  samples.delete(key);
  samples.set(key, known);
  known.catch(() => samples.delete(key));
  for (const [old] of [...samples].slice(0, -SAMPLES)) samples.delete(old);
  return known;
}

/** The records with the smallest lots, which follow from their ids and the dataset. */
async function drawSample(store: Store, of: DatasetRef, count: number): Promise<readonly Rec<Values>[]> {
  let drawn: { readonly lot: string; readonly record: Rec<Values> }[] = [];
  const smallest = () => drawn.toSorted((a, b) => (a.lot < b.lot ? -1 : 1)).slice(0, count);
  for await (const record of store.read(of)) {
    drawn.push({ lot: sha256(`${of.digest}/${record.id}`), record: record as Rec<Values> });
    if (drawn.length > 2 * count + 1000) drawn = smallest();
  }
  return smallest().map(({ record }) => record);
}

/** The first record without a verdict behind this one, else the first of all; undefined: each has one. */
export function nextRecord({ records, verdicts }: Review, after?: string): Rec<Values> | undefined {
  const start = records.findIndex(({ id }) => id === after) + 1;
  return [...records.slice(start), ...records.slice(0, start)].find(({ id }) => !verdicts.has(id));
}

export function countsOf({ verdicts }: Pick<Review, 'verdicts'>): ReviewCounts {
  const count = (wanted: Verdict['verdict']) => [...verdicts.values()].filter(({ verdict }) => verdict === wanted).length;
  return { approved: count('approve'), rejected: count('reject'), edited: count('edit') };
}

/** Keeps a decision; it is on the disk when this resolves. Throws if the record is not of the sample, or an edit does not fit it. */
export async function decide(
  store: Store,
  { of, records }: Review,
  id: string,
  { verdict, note, value }: Pick<Verdict, 'verdict'> & Partial<Pick<Verdict, 'note' | 'value'>>,
): Promise<void> {
  const record = records.find((one) => one.id === id);
  if (!record) throw new BackspinError('NotFound', `The record "${id}" is not of the sample under review.`);
  const edited = verdict === 'edit' ? checkEdit(record, value ?? {}) : null;
  await putVerdict(store, of.digest, { of: id, verdict, note: note || null, value: edited });
}

const kindOf = (value: unknown): string => (value === null ? 'null' : Array.isArray(value) ? 'list' : typeof value);

function checkEdit({ id, value: before }: Rec<Values>, edited: Values): Record<string, unknown> {
  const refuse = (why: string) => new BackspinError('ConfigError', `The edit of the record ${id} is not taken: ${why}.`);
  for (const key of Object.keys(before)) if (!(key in edited)) throw refuse(`it lacks ${key}`);
  for (const [key, value] of Object.entries(edited)) {
    if (!(key in before)) throw refuse(`the record has no ${key}`);
    const [was, is] = [kindOf(before[key]), kindOf(value)];
    if (was !== 'null' && was !== is) throw refuse(`${key} was a ${was} and is a ${is} now`);
  }
  if (canonicalJson(before) === canonicalJson(edited)) throw refuse('it changes nothing, so approve the record');
  return { ...edited };
}

/** Writes the verdicts as a dataset. */
export async function commitReview(store: Store, review: Review, rejected: 'drop' | 'keep'): Promise<messages.Review> {
  const { of, verdicts } = review;
  if (verdicts.size === 0) throw new BackspinError('ConfigError', `No record of ${review.step} has a verdict yet.`);
  const writer = store.write(RECORDS);
  for (const [id, value] of [...verdicts].toSorted(([a], [b]) => (a < b ? -1 : 1)))
    await writer.add({ id: recordId(value, [id]), from: [id], value });
  return { of: of.digest, verdicts: await writer.commit('exact'), counts: countsOf(review), rejected };
}

/** Sends the verdicts to the gate that waits for them. */
export async function sendReview(store: Store, record: ExperimentRecord, review: Review, rejected: 'drop' | 'keep'): Promise<void> {
  const { gate } = review;
  if (gate === null) throw new BackspinError('NotOpen', `No gate of ${record.name} waits for the records of ${review.step}.`);
  const sent = await commitReview(store, review, rejected);
  const [{ sendUpdate }, { review: update }] = await Promise.all([import('./send.ts'), import('../schemas/messages.ts')]);
  await sendUpdate(record, (handle) => handle.executeUpdate(update, { args: [{ path: gate, ...sent }] }));
}
