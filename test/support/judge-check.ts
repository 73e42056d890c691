/** Reads how a run measured a judge. */
import type { ModelRef, ReportRef } from '../../schemas/call.ts';
import { beyond, planOf } from './planned.ts';
import type { Ran, Stage } from './recipe.ts';

export interface Check {
  readonly real: readonly Values[];
  readonly shuffled: readonly Values[];
  /** The models in the roles of the judging. */
  readonly judges: readonly ModelRef[];
  readonly metrics: Readonly<Record<string, number>>;
  /** What is performed and not planned. */
  readonly beyond: readonly string[];
}
type Values = Readonly<Record<string, unknown>> & { readonly shuffled: boolean };

/** `round`: begins the paths of its steps. `name`: ends those of a recipe that checks several sets of pairs. */
export async function checkIn(recipe: string, stage: Omit<Stage, 'run'>, ran: Ran, round = '', name = ''): Promise<Check> {
  const pairs = (await stage.rows<Values>(ran.step(`check-pairs${name}`).data)).map(({ value }) => value);
  const { inputs } = ran.step(`${round}check-judged${name}`).call;
  const { with: roles, inputs: others } = inputs as Record<string, Readonly<Record<string, ModelRef>>>;
  return {
    real: pairs.filter(({ shuffled }) => !shuffled),
    shuffled: pairs.filter(({ shuffled }) => shuffled),
    judges: Object.values(roles ?? others ?? {}).filter(({ kind }) => kind === 'model'),
    metrics: (ran.step(`${round}judge-check${name}`).result as ReportRef).metrics,
    beyond: await beyond(await planOf(recipe, stage, ran.given), ran, stage),
  };
}
