/** Measures pseudo-labels: detects collapse of the loop, and prunes labels whose cycle does not return to the original. */
import { z } from 'zod';
import { reducer, type Dataset, type Report, type MaybePromise } from '../../recipe/index.ts';
import { wordsOf } from '../std/shingles.ts';
import type { Placed, QA } from './records.ts';

export interface Health {
  readonly answerCopies: number;
  readonly questionCopies: number;
  readonly answerDistinct: number;
  readonly questionDistinct: number;
  readonly answerWords: number;
  readonly questionWords: number;
  readonly [name: string]: number;
}

/** Measures the answers and the questions that models wrote in a round: the share that copies its source (either text contains the
 *  other, in lower case), the share of distinct word bigrams (distinct-2, Li et al. 2016), and the mean length in words. */
export const health = reducer<{ readonly answered: MaybePromise<Dataset<QA>>; readonly asked: MaybePromise<Dataset<QA>> }, Report<Health>>({
  version: 1,
  outputs: 'report',
  async run({ answered, asked }) {
    const answers = new TextStats();
    for await (const { value } of answered) answers.add(value.answer, value.question);
    const questions = new TextStats();
    for await (const { value } of asked) questions.add(value.question, value.answer);
    return {
      answerCopies: answers.copies,
      questionCopies: questions.copies,
      answerDistinct: answers.distinct,
      questionDistinct: questions.distinct,
      answerWords: answers.words,
      questionWords: questions.words,
    };
  },
});

class TextStats {
  #count = 0;
  #copies = 0;
  #words = 0;
  #pairs = 0;
  readonly #distinct = new Set<string>();

  add(written: string, given: string): void {
    const [one, other] = [written, given].map((text) => text.trim().toLowerCase());
    const words = wordsOf(written);
    this.#count++;
    if (one!.includes(other!) || other!.includes(one!)) this.#copies++;
    this.#words += words.length;
    for (let at = 1; at < words.length; at++) {
      this.#pairs++;
      this.#distinct.add(`${words[at - 1]} ${words[at]}`);
    }
  }
  get copies(): number {
    return this.#count === 0 ? 0 : this.#copies / this.#count;
  }
  get distinct(): number {
    return this.#pairs === 0 ? 0 : this.#distinct.size / this.#pairs;
  }
  get words(): number {
    return this.#count === 0 ? 0 : this.#words / this.#count;
  }
}

/** Clusters below this size are not pruned. */
const MIN_CLUSTER = 10;

/** Drops from each cluster the `share` with the largest distance to the reconstruction, rounded half up. Pruning per cluster keeps
 *  topics that are hard throughout. Ties go by record id. */
export const prune = reducer<{ readonly of: MaybePromise<Dataset<Placed>> }, Dataset<Placed>, { readonly share: number }>({
  version: 1,
  params: z.object({ share: z.number() }),
  async *run({ of }, { share }) {
    const clusters = new Map<number, { readonly id: string; readonly distance: number }[]>();
    for await (const { id, value } of of) {
      const members = clusters.get(value.cluster) ?? [];
      clusters.set(value.cluster, members);
      members.push({ id, distance: value.distance });
    }
    const gone = new Set(
      [...clusters.values()].flatMap((members) =>
        members
          .toSorted((a, b) => b.distance - a.distance || (a.id < b.id ? -1 : 1))
          .slice(0, members.length < MIN_CLUSTER ? 0 : Math.floor(share * members.length + 0.5 + 1e-9))
          .map(({ id }) => id),
      ),
    );
    for await (const record of of) {
      if (gone.has(record.id)) yield { record, dropped: 'inconsistent', evidence: `${record.value.distance}: ${record.value.again}` };
      else yield { record };
    }
  },
});
