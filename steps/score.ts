/** Runs a scorer as a subprocess: writes its requests, and maps the records with the answers. `devices/` runs the subprocess. */
import { join } from 'node:path';
import { Rejected, TooLong } from '../inference/client.ts';
import type { ScoreRequest, Rec, Scored } from '../recipe/define.ts';
import { BackspinError } from '../schemas/errors.ts';
import type { Output } from '../schemas/store.ts';
import { scoredRow, type ScoredText, type ScoreSpec } from '../schemas/trainer.ts';
import { readLines, writeLines } from '../store/files.ts';
import type { Span } from '../schemas/steps.ts';
import { recordContextOf } from './model-calls.ts';
import { threadsOf } from './machine.ts';
import { commitAnswered, type OfflineMap } from './answered.ts';
import type { AnyOperator, StoredLink } from './resolved.ts';
import { fit, loadParams } from './chain.ts';
import { foldersOf, runFolder } from './train.ts';

/** Writes the requests of every record to `rows.jsonl` in the run folder, and returns the spec. A resumed run gets the same rows. */
export async function prepareScoring({ store, registry, resolved, context, work, signal }: OfflineMap): Promise<ScoreSpec> {
  const [link] = resolved.chain as readonly [StoredLink];
  const { operator } = link;
  const params = await loadParams(resolved.params, store);
  const { seed } = context;
  const requestsOf = (record: Rec<unknown>): readonly ScoreRequest[] => {
    const input = fit(operator.input, record.value);
    if ('fault' in input) return [];
    try {
      return operator.scorer!.ask(input.value, recordContextOf(record, link, { registry, seed, signal }), params);
    } catch (error) {
      if (error instanceof BackspinError || signal.aborted) throw error;
      return [];
    }
  };
  async function* requestRows() {
    for await (const record of store.read(work.over)) yield { requests: requestsOf(record) }; // the map drops a record without requests
  }
  const run = runFolder(store, resolved.stepKey);
  const rows = join(run, 'rows.jsonl');
  await writeLines(rows, requestRows());
  const [model] = Object.values(resolved.cast);
  return { version: 1, model: await foldersOf(store, model!), rows, run, threads: threadsOf(context.training) };
}

/** Runs the map with the subprocess's answers in place of a model, and commits it. */
export async function commitScoring(
  scoring: OfflineMap,
  rows: string,
  answers: string,
  subprocessSpans?: readonly Span[],
): Promise<Output> {
  const requestLines = readLines(rows);
  const answerLines = readLines(answers);
  const answered = async (operator: AnyOperator, from: number, to: number) => {
    const known = new Map<string, ScoredText>();
    for (let row = from; row < to; row++) {
      const { requests } = (await requestLines.next()).value as { readonly requests: readonly ScoreRequest[] };
      const texts = scoredRow.parse((await answerLines.next()).value).answers;
      requests.forEach((request, n) => known.set(JSON.stringify(request), texts[n]!));
    }
    return withAnswers(operator, known);
  };
  return commitAnswered(scoring, answered, subprocessSpans);
}

/** The operator with known answers in place of a model. */
function withAnswers(operator: AnyOperator, known: ReadonlyMap<string, ScoredText>): AnyOperator {
  const { ask, take } = operator.scorer!;
  return {
    ...operator,
    run(record, context, params) {
      const answers = ask(record, context, params).map((request) => scoredOf(known.get(JSON.stringify(request))!));
      return take(record, answers, params);
    },
  };
}

/** Throws like a server's client, so records that are too long or refused are dropped. */
function scoredOf(text: ScoredText): Scored {
  if ('tooLong' in text) throw new TooLong(text.tooLong);
  if ('rejected' in text) throw new Rejected(400, text.rejected);
  const { ids, logprobs, entropies, second, hash = null } = text;
  const tokens = ids.map((id, t) => ({
    id,
    logprob: logprobs[t]!,
    entropy: entropies[t]!,
    ...(second && {
      second: { logprob: second.logprobs[t]!, entropy: second.entropies[t]!, kl: second.kl[t]!, reverseKl: second.reverseKl[t]! },
    }),
  }));
  return { tokens, hash };
}
