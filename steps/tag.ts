/** Evaluates a tagger: writes the tokens of its suite's items for the subprocess, and measures the labels. `devices/` runs the subprocess. */
import { join } from 'node:path';
import type { Rec } from '../recipe/define.ts';
import type { ModelRef } from '../schemas/call.ts';
import { recordId } from '../schemas/canonical.ts';
import type { MapWork, Span, StepContext } from '../schemas/steps.ts';
import type { Output } from '../schemas/store.ts';
import { taggedRow, type TagSpec } from '../schemas/trainer.ts';
import { readLines, writeLines } from '../store/files.ts';
import type { Store } from '../store/store.ts';
import { fit } from './chain.ts';
import { measureModel, suiteOperatorStep } from './evaluate.ts';
import type { Done } from './journal.ts';
import { threadsOf } from './machine.ts';
import type { Registry } from './registry.ts';
import type { Link, Resolved } from './resolved.ts';
import { secondsOf } from './spans.ts';
import { runFolder } from './train.ts';

export interface Tagging {
  readonly store: Store;
  readonly registry: Registry;
  readonly resolved: Resolved;
  readonly work: MapWork;
}

/** Each item, with its tokens or the reason why the suite cannot read it. */
async function* readItems({ store, registry, resolved, work }: Tagging) {
  const [{ operator, operation }] = suiteOperatorStep(resolved, registry).chain as [Link];
  for await (const record of store.read(work.over)) {
    const read = fit(operator.input, record.value);
    if ('fault' in read) yield { record, fault: `${operation} cannot read it: ${read.fault}` };
    else yield { record, tokens: (read.value as { readonly tokens: readonly string[] }).tokens };
  }
}

/** Writes the tokens of the items that the suite can read. A resumed run gets the same rows. */
export async function prepareTagging(tagging: Tagging, context: StepContext): Promise<TagSpec> {
  const { store, resolved } = tagging;
  const run = runFolder(store, resolved.stepKey);
  const rows = join(run, 'rows.jsonl');
  async function* tokenRows() {
    for await (const { tokens } of readItems(tagging)) if (tokens) yield { tokens };
  }
  await writeLines(rows, tokenRows());
  const tagger = await store.modelFolder(resolved.cast['model'] as ModelRef);
  return { version: 1, tagger, rows, run, threads: threadsOf(context.training) };
}

/** Measures the labels in the subprocess's answers, and commits the report. */
export async function commitTagging(tagging: Tagging, answers: string, subprocessSpans: readonly Span[] = []): Promise<Output> {
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

const droppedAs = ({ id, value }: Rec<unknown>, reason: string, evidence: string): Done => ({
  kept: [[]],
  dropped: [{ op: 0, id, reason, evidence, value }],
});
