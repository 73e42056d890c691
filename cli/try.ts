/** `backspin try FILE STEP`: runs one step of a plan on its first records, with the real engine, and prints what became of them. */
import { isRef, type DatasetRef } from '../schemas/call.ts';
import { duration, number } from '../schemas/units.ts';
import type { Rec } from '../recipe/define.ts';
import type { Output } from '../schemas/store.ts';
import { callsOf } from '../plan/planner.ts';
import { openServices } from '../steps/services.ts';
import type { Store } from '../store/store.ts';
import { loadExperiment } from '../experiments/config.ts';
import { plannedCall, readSentence, trialOf } from '../experiments/trial.ts';
import { homeFolder } from '../host/home.ts';
import { refuseMissing } from './prepare.ts';
import { formatDropped, printJson } from './terminal/text.ts';
import { printRecords } from './terminal/records.ts';
import { runTrial, type Tried } from './trial.ts';

interface Options {
  readonly records: number;
  readonly set: string[];
  readonly json?: boolean;
}

export async function run(file: string, wanted: string, { records, set, json }: Options): Promise<void> {
  const { bound } = await loadExperiment(file, set);
  const services = await openServices(homeFolder());
  const planned = await callsOf(services, bound);
  const { call } = plannedCall(planned, wanted);
  const experiment = await trialOf(bound, planned, plannedCall(planned, wanted), records, services.store);
  refuseMissing(bound.name, planned.missing);
  const tried = await runTrial(services.store, experiment);
  const { output } = tried.get(call.path)!;
  const pairs = await pairsOf(services.store, tried.get(`${call.path}-first`)!.output, output);
  const cost = { requests: output.requests, tokens: output.tokens, seconds: output.seconds };
  if (json)
    return printJson({
      step: call.path,
      operation: call.operation,
      in: output.in,
      kept: output.kept,
      dropped: output.dropped,
      ...cost,
      records: pairs,
    });
  console.log(`${call.path}: ${call.operation}`);
  console.log(readSentence(records));
  for (const line of before(tried, call.path)) console.log(line);
  for (const { out = [], ...rest } of pairs as { readonly out?: readonly unknown[] }[]) {
    console.log('');
    if (Object.keys(rest).length > 0) printRecords([rest]);
    if (out.length > 0) printRecords(out.map((value) => ({ out: value })));
  }
  console.log('');
  console.log(
    `${number(output.kept)} of ${number(output.in)} kept${output.in > output.kept ? `; dropped ${formatDropped(output.dropped)}` : ''}`,
  );
  console.log(`${number(output.requests)} requests, ${number(output.tokens)} tokens, ${duration(output.seconds)}`);
}

/** A line for each earlier step of the trial that dropped something. */
function before(tried: ReadonlyMap<string, Tried>, path: string): string[] {
  return [...tried.values()].flatMap(({ step, output: { in: entered, kept, dropped } }) =>
    step.path === path || step.path.endsWith('-first') || Object.keys(dropped).length === 0
      ? []
      : [`before it, ${step.path} kept ${number(kept)} of ${number(entered)}; dropped ${formatDropped(dropped)}`],
  );
}

interface DroppedValue {
  readonly id: string;
  readonly reason: string;
  readonly evidence: string | null;
  readonly value: unknown;
}
type Part =
  | { readonly in: unknown }
  | { readonly out: readonly unknown[] }
  | { readonly value: unknown; readonly dropped: string; readonly evidence: string | null };
type Pair = { readonly in: unknown } & (
  | { readonly out: readonly unknown[] }
  | { readonly dropped: string; readonly evidence: string | null }
);

/** Each record that entered, with what it became. In a chain records come from those of the operator before: then all that entered, all
 *  that was kept and all that was dropped. */
async function pairsOf(store: Store, given: Output, output: Output): Promise<(Pair | Part)[]> {
  const entered = await recordsIn(store, given.result);
  const left = await recordsIn(store, output.result);
  const lost = (output.droppedRecords ? await recordsIn(store, output.droppedRecords) : []).map(({ value }) => value as DroppedValue);
  if (output.operation.includes('>'))
    return [
      ...entered.map(({ value }) => ({ in: value })),
      ...left.map(({ value }) => ({ out: [value] })),
      ...lost.map(({ reason, evidence, value }) => ({ value, dropped: reason, evidence })),
    ];
  const kept = Map.groupBy(left, ({ from }) => from[0]!);
  return entered.map(({ id, value }) => {
    const dropped = lost.find((one) => one.id === id);
    return dropped
      ? { in: value, dropped: dropped.reason, evidence: dropped.evidence }
      : { in: value, out: (kept.get(id) ?? []).map((one) => one.value) };
  });
}

async function recordsIn(store: Store, result: Output['result'] | DatasetRef): Promise<Rec<unknown>[]> {
  if (!isRef(result) || result.kind !== 'dataset') return [];
  const records = [];
  for await (const record of store.read(result)) records.push(record);
  return records;
}
