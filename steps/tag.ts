/** Labels records with a tagger: writes their tokens for the subprocess, and measures the labels for a suite, or maps the records with them.
 *  `devices/` runs the subprocess. */
import { join } from 'node:path';
import { drop, type Rec } from '../recipe/define.ts';
import type { ModelRef } from '../schemas/call.ts';
import { recordId } from '../schemas/canonical.ts';
import type { Span } from '../schemas/steps.ts';
import type { Output } from '../schemas/store.ts';
import { taggedRow, type TaggedRow, type TagSpec } from '../schemas/trainer.ts';
import { readLines, writeLines } from '../store/files.ts';
import { commitAnswered, type OfflineMap } from './answered.ts';
import { fit } from './chain.ts';
import { measureModel, suiteOperatorStep } from './evaluate.ts';
import type { Done } from './journal.ts';
import { threadsOf } from './machine.ts';
import type { AnyOperator, StoredLink } from './resolved.ts';
import { secondsOf } from './spans.ts';
import { runFolder } from './train.ts';

/** Each item, with its tokens or the reason why the operator cannot read it. */
async function* readItems({ store, registry, resolved, work }: OfflineMap) {
  const [{ operator, operation }] = suiteOperatorStep(resolved, registry).chain as readonly [StoredLink];
  for await (const record of store.read(work.over)) {
    const read = fit(operator.input, record.value);
    if ('fault' in read) yield { record, fault: `${operation} cannot read it: ${read.fault}` };
    else yield { record, tokens: (read.value as { readonly tokens: readonly string[] }).tokens };
  }
}

/** Writes the tokens of the records that the operator can read. A resumed run gets the same rows. */
export async function prepareTagging(tagging: OfflineMap): Promise<TagSpec> {
  const { store, resolved, context } = tagging;
  const run = runFolder(store, resolved.stepKey);
  const rows = join(run, 'rows.jsonl');
  async function* tokenRows() {
    for await (const { tokens } of readItems(tagging)) if (tokens) yield { tokens };
  }
  await writeLines(rows, tokenRows());
  const [tagger] = Object.values(resolved.cast) as [ModelRef];
  return { version: 1, tagger: await store.modelFolder(tagger), rows, run, threads: threadsOf(context.training) };
}

/** Commits the report, or the records, that follow from the subprocess's answers. */
export const commitTagging = (tagging: OfflineMap, answers: string, subprocessSpans: readonly Span[] = []): Promise<Output> =>
  tagging.resolved.call.verb === 'map' ? commitLabels(tagging, answers, subprocessSpans) : commitReport(tagging, answers, subprocessSpans);

async function commitReport(tagging: OfflineMap, answers: string, subprocessSpans: readonly Span[]): Promise<Output> {
  const { store, registry, resolved, work } = tagging;
  const lines = readLines(answers);
  const done = new Map<string, Done>();
  for await (const { record, fault } of readItems(tagging)) {
    const labels = fault === undefined ? taggedRow.parse((await lines.next()).value) : undefined;
    if (!labels) done.set(record.id, droppedAs(record, 'invalid', fault!));
    else if ('tooLong' in labels) done.set(record.id, droppedAs(record, 'too-long', labels.tooLong));
    else done.set(record.id, { kept: [[{ id: recordId(labels, [record.id]), from: [record.id], value: labels }]], dropped: [] });
  }
  const spent = { requests: 0, tokens: 0, attempts: 0, seconds: secondsOf(subprocessSpans) };
  const output = await measureModel(store, registry, resolved, work.over, done, spent);
  await store.clearWork(resolved.stepKey);
  return output;
}

async function commitLabels(tagging: OfflineMap, answers: string, subprocessSpans: readonly Span[]): Promise<Output> {
  const lines = readLines(answers);
  const items = readItems(tagging);
  const answered = async (operator: AnyOperator, from: number, to: number) => {
    const known = new Map<string, TaggedRow>();
    for (let row = from; row < to; row++) {
      const { tokens } = (await items.next()).value as { readonly tokens?: readonly string[] };
      if (tokens) known.set(JSON.stringify(tokens), taggedRow.parse((await lines.next()).value));
    }
    return withLabels(operator, known);
  };
  return commitAnswered(tagging, answered, subprocessSpans);
}

/** The operator with known labels in place of a tagger. */
const withLabels = (operator: AnyOperator, known: ReadonlyMap<string, TaggedRow>): AnyOperator => ({
  ...operator,
  run(record, _, params) {
    const labels = known.get(JSON.stringify((record as { readonly tokens: readonly string[] }).tokens))!;
    return 'tooLong' in labels ? drop('too-long', labels.tooLong) : operator.labeler!.take(record, labels, params);
  },
});

const droppedAs = ({ id, value }: Rec<unknown>, reason: string, evidence: string): Done => ({
  kept: [[]],
  dropped: [{ op: 0, id, reason, evidence, value }],
});
