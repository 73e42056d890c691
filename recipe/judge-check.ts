/** Measures a judge before a recipe trusts it. */
import type { JudgeCheck } from '../schemas/recipes/shared.ts';
import type { Dataset, MaybePromise, Model, ModelKind, Run } from './api.ts';
import { separation, shuffled, type Scoring } from './reducers.ts';

/** What a judge is measured with. */
interface Given<T, S> {
  /** Pairs whose parts belong together. Not called if no judge is measured. */
  readonly pairs: () => MaybePromise<Dataset<T>>;
  /** Field of a shuffled pair -> field of another pair that fills it. */
  readonly move: { readonly [K in keyof T & string]?: keyof T & string };
  /** Field that the moved ones belong to, if any: two pairs with the same value get nothing from each other. */
  readonly about?: keyof T & string;
  /** Field with the score; of a list, its length counts. null: the judge keeps or drops. */
  readonly score: Scoring<S> | null;
  /** Which scores are good.
   *  @default highest */
  readonly order?: 'highest' | 'lowest';
  /** Ends the names of the steps, if a recipe checks several sets of pairs.
   *  @default none */
  readonly name?: string;
}

/**
 * Returns a function for every judge of a recipe. It has the judge score real and shuffled pairs (`check-judged`), compares the scores
 * (`judge-check`), and returns the judge: at once, or, if `gate` is set, when its AUC is high enough or a person approved it. All judges
 * get the same pairs.
 *
 * @param settings null: judges are not measured
 * @example
 * const check = judgeCheck(run, config.judgeCheck, { pairs: () => seed, move: { response: 'response' }, about: 'instruction', score: 'score' });
 * const scorer = check(round, forward, (pairs, scorer) => round.map(rating, pairs, { with: { scorer }, params, as: 'check-judged' }));
 */
export function judgeCheck<T, S>(run: Run, settings: JudgeCheck, { pairs: of, move, about, score, order = 'highest', name }: Given<T, S>) {
  const named = (step: string) => ({ as: name === undefined ? step : `${step}-${name}` });
  return <K extends ModelKind>(
    turn: Run,
    judge: MaybePromise<Model<K>>,
    ask: (pairs: Promise<Dataset<T>>, judge: MaybePromise<Model<K>>) => Promise<Dataset<S>>,
  ): MaybePromise<Model<K>> => {
    if (settings === null) return judge;
    const { pairs: count, minAuc: auc, gate } = settings;
    const pairs = run.reduce(shuffled(of(), { count, move, about: about ?? null }), named('check-pairs'));
    const report = turn.reduce(separation({ pairs, judged: ask(pairs, judge) }, { score, order, minAuc: auc }), named('judge-check'));
    return gate ? turn.gate(report, { atLeast: { auc } }, named('judge-check-gate')).then(() => judge) : judge;
  };
}
