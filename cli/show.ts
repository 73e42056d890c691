/** `backspin show NAME STEP`: prints records of a step's output, or its dropped records with reasons. Needs no server. */
import { originsOf } from '../steps/origins.ts';
import { isRef, type AnyRef, type DatasetRef } from '../schemas/call.ts';
import type { Rec } from '../recipe/define.ts';
import { BackspinError } from '../schemas/errors.ts';
import type { Output } from '../schemas/store.ts';
import type { Store } from '../store/store.ts';
import { openHome } from '../host/home-store.ts';
import { experimentOf } from '../experiments/record.ts';
import { currentRecord } from '../experiments/current.ts';
import { suggest } from '../schemas/nearest.ts';
import { findStep, outputOf } from '../experiments/steps.ts';
import type { Row } from '../experiments/tables/duckdb.ts';
import type { Selection, selectRecords } from '../experiments/tables/select.ts';
import { printRecords } from './terminal/records.ts';
import { formatScores } from './terminal/scores.ts';
import { formatDropped as droppedText, formatEndings } from './terminal/text.ts';
import { number } from '../schemas/units.ts';

interface Options extends Pick<Selection, 'where' | 'sort' | 'sample'> {
  readonly dropped?: string;
  readonly limit: number;
  readonly json?: boolean;
}
interface DroppedValue {
  readonly id: string;
  readonly reason: string;
  readonly evidence: string | null;
  readonly value: unknown;
}

export async function run(name: string, wanted: string, { dropped, limit, json, ...selection }: Options): Promise<void> {
  const store = await openHome();
  const experiment = await currentRecord(await experimentOf(store, name));
  const step = findStep(experiment, wanted);
  const output = await outputOf(store, name, step);
  if (dropped !== undefined) {
    const found = await droppedOf(store, output, step.path, dropped, limit, selection);
    const keys = experiment.steps.flatMap(({ stepKey }) => stepKey ?? []);
    const outputs = await Promise.all([...new Set(keys)].map((key) => store.output(key)));
    const ids = found.map(({ id }) => id);
    const origins = await originsOf(
      store,
      outputs.flatMap((output) => output ?? []),
      ids,
    );
    const withOrigins = found.map(({ id, reason, ...rest }) => ({
      id,
      reason,
      ...(origins.has(id) && { where: origins.get(id) }),
      ...rest,
    }));
    return printRecords(withOrigins, json);
  }
  const refs = isRef(step.result ?? output.result) ? { '': output.result as AnyRef } : (output.result as Record<string, AnyRef>);
  const shown: unknown[] = [];
  for (const [label, ref] of Object.entries(refs))
    shown.push(...(await records(store, ref, limit, selection)).map((record) => (label === '' ? record : { output: label, ...record })));
  if (output.curve) shown.push(...(await records(store, output.curve.records, limit, selection)));
  const answered = output.answers ? await records(store, output.answers, limit, selection) : [];
  shown.push(...answered.map((record) => itemFirst(record as Answered)));
  if (!json) {
    console.log(`${step.path}: ${step.operation}, ${countsOf(output)}`);
    if (output.unread) console.log(`most frequent endings of unread replies: ${formatEndings(output.unread, output.unread.length)}`);
    const scores = step.result && isRef(step.result) && step.result.kind === 'report' ? formatScores(step.result.metrics) : '';
    if (scores !== '') console.log(`\n${scores}`);
    console.log('');
  }
  printRecords(shown, json);
}

/** Lists separately the dropped outputs of source records that count by another output. */
function countsOf({ in: of, kept, dropped, parts = {} }: Output): string {
  const sources = Object.keys(dropped).length > 0 ? [`dropped ${droppedText(dropped)}`] : [];
  const siblings = Object.keys(parts).length > 0 ? [`besides, of sources that are counted by another record, ${droppedText(parts)}`] : [];
  return [`${number(kept)} of ${number(of)} kept`, ...sources, ...siblings].join(', ');
}

interface Answered {
  readonly id: string;
  readonly item: unknown;
  readonly answer: unknown;
}
/** Puts the item before the answer. */
const itemFirst = ({ id, item, answer, ...rest }: Answered): object => ({ id, item, answer, ...rest });

async function records(store: Store, ref: AnyRef, limit: number, selection: Selection): Promise<object[]> {
  if (ref.kind === 'report') return [{ digest: ref.digest, oracle: ref.oracle, ...ref.metrics }];
  if (ref.kind === 'model') return [await store.model(ref)];
  if (isChosen(selection)) return (await chosen(store, { ref, layout: 'records' }, selection, limit)).map(withoutParents);
  return head(
    store,
    ref,
    limit,
    () => true,
    ({ id, value }) => ({ id, ...(value as object) }),
  );
}

async function droppedOf(
  store: Store,
  { dropped, parts, droppedRecords }: Output,
  path: string,
  reason: string,
  limit: number,
  selection: Selection,
): Promise<DroppedValue[]> {
  const reasons = [...new Set([...Object.keys(dropped), ...Object.keys(parts ?? {})])];
  if (reasons.length === 0 || !droppedRecords) throw new BackspinError('NotFound', `The step ${path} dropped nothing.`);
  if (reason !== 'all' && !reasons.includes(reason))
    throw new BackspinError('NotFound', `The step ${path} dropped nothing as "${reason}"${suggest(reason, reasons)}.`);
  if (isChosen(selection)) {
    const reasonOnly = reason === 'all' ? {} : { reason };
    return (await chosen(
      store,
      { ref: droppedRecords, layout: 'values' },
      { ...selection, ...reasonOnly },
      limit,
    )) as unknown as DroppedValue[];
  }
  const fits = ({ value }: Rec<unknown>) => reason === 'all' || (value as DroppedValue).reason === reason;
  return head(store, droppedRecords, limit, fits, ({ value }) => value as DroppedValue);
}

const isChosen = ({ where, sort, sample }: Selection): boolean => [where, sort, sample].some((one) => one !== undefined);
/** Loads DuckDB. */
const chosen = async (...of: Parameters<typeof selectRecords>) => (await import('../experiments/tables/select.ts')).selectRecords(...of);
const withoutParents = ({ from: _, ...rest }: Row): object => rest;

async function head<T extends object>(
  store: Store,
  ref: DatasetRef,
  limit: number,
  fits: (record: Rec<unknown>) => boolean,
  give: (record: Rec<unknown>) => T,
): Promise<T[]> {
  const found: T[] = [];
  for await (const record of store.read(ref)) {
    if (fits(record)) found.push(give(record));
    if (found.length === limit) break;
  }
  return found;
}
