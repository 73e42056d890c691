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
import { findStep } from '../experiments/steps.ts';
import { formatDropped as droppedText, printJson, formatEndings } from './terminal/text.ts';
import { number } from '../schemas/units.ts';

interface Options {
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

export async function run(name: string, wanted: string, { dropped, limit, json }: Options): Promise<void> {
  const store = await openHome();
  const experiment = await currentRecord(await experimentOf(store, name));
  const step = findStep(experiment, wanted);
  const output = step.stepKey === null ? undefined : await store.output(step.stepKey);
  if (!output && step.state === 'completed')
    throw new BackspinError(
      'ArtifactMissing',
      `What the step ${step.path} has given is not in ${store.root} any more: launch the experiment again, and it is made again.`,
    );
  if (!output)
    throw new BackspinError(
      'NotFound',
      `The step ${step.path} has given nothing yet (${step.state}): \`backspin status ${name}\` shows how far it is.`,
    );
  if (dropped !== undefined) {
    const found = await droppedOf(store, output, step.path, dropped, limit);
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
    return print(withOrigins, json);
  }
  const refs = isRef(step.result ?? output.result) ? { '': output.result as AnyRef } : (output.result as Record<string, AnyRef>);
  const shown: unknown[] = [];
  for (const [label, ref] of Object.entries(refs))
    shown.push(...(await records(store, ref, limit)).map((record) => (label === '' ? record : { output: label, ...record })));
  if (output.curve) shown.push(...(await records(store, output.curve.records, limit)));
  const answered = output.answers ? await records(store, output.answers, limit) : [];
  shown.push(...answered.map((record) => itemFirst(record as Answered)));
  if (!json) {
    console.log(`${step.path}: ${step.operation}, ${countsOf(output)}`);
    if (output.unread) console.log(`most frequent endings of unread replies: ${formatEndings(output.unread, output.unread.length)}`);
    console.log('');
  }
  print(shown, json);
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

async function records(store: Store, ref: AnyRef, limit: number): Promise<object[]> {
  if (ref.kind === 'report') return [{ digest: ref.digest, oracle: ref.oracle, ...ref.metrics }];
  if (ref.kind === 'model') return [await store.model(ref)];
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
): Promise<DroppedValue[]> {
  const reasons = [...new Set([...Object.keys(dropped), ...Object.keys(parts ?? {})])];
  if (reasons.length === 0 || !droppedRecords) throw new BackspinError('NotFound', `The step ${path} dropped nothing.`);
  if (reason !== 'all' && !reasons.includes(reason))
    throw new BackspinError('NotFound', `The step ${path} dropped nothing as "${reason}"${suggest(reason, reasons)}.`);
  const fits = ({ value }: Rec<unknown>) => reason === 'all' || (value as DroppedValue).reason === reason;
  return head(store, droppedRecords, limit, fits, ({ value }) => value as DroppedValue);
}

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

/** Prints one key per line; texts of several lines follow their key. */
function print(records: readonly unknown[], json: boolean | undefined): void {
  if (json) return printJson(records);
  const isObject = (value: unknown): value is object => typeof value === 'object' && value !== null && !Array.isArray(value);
  /** `item.instruction: ...` */
  const parts = ([key, value]: [string, unknown]): [string, unknown][] =>
    isObject(value) ? Object.entries(value).map(([inner, one]) => [`${key}.${inner}`, one]) : [[key, value]];
  const text = (value: unknown) => (typeof value === 'string' ? value : JSON.stringify(value));
  const field = ([key, value]: [string, unknown]) =>
    typeof value === 'string' && value.includes('\n') ? `${key}:\n${value.replaceAll(/^/gm, '  ')}` : `${key}: ${text(value)}`;
  console.log(
    records
      .map((record) =>
        Object.entries(record as object)
          .flatMap(parts)
          .map(field)
          .join('\n'),
      )
      .join('\n\n'),
  );
}
