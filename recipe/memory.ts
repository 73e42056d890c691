/** The in-memory `Run`: the same steps on a real store in this process, one after the other. For tests of recipes. */
import type { StepCall, Result } from '../schemas/call.ts';
import { fingerprintOf } from '../schemas/call.ts';
import { runRecipe } from './inputs.ts';
import { RecipeRuntime, type Gate } from './runtime.ts';
import type { BoundConfig } from '../schemas/config.ts';

export interface Performed {
  readonly call: StepCall;
  readonly result: Result;
}
export interface Memory {
  /** Every step that was performed, in the order it ended. */
  readonly performed: readonly Performed[];
  /** Gates that were short, in order; each was let pass. */
  readonly short: readonly Gate[];
  readonly results: object;
}

/** Runs a recipe with `perform` as its only engine. A gate that is short passes and is told of. */
export async function runInMemory(
  recipe: (run: never, config: never) => Promise<object>,
  config: Pick<BoundConfig, 'data' | 'models' | 'parameters' | 'evaluation'>,
  perform: (call: StepCall) => Promise<Result>,
): Promise<Memory> {
  const performed: Performed[] = [];
  const short: Gate[] = [];
  const ledger = new Map<string, Result>();
  const verbs = new RecipeRuntime({
    async perform(call) {
      const fingerprint = fingerprintOf(call);
      const result = ledger.get(fingerprint) ?? (await perform(call));
      ledger.set(fingerprint, result);
      performed.push({ call, result });
      return result;
    },
    shared(call, result) {
      result.then(
        (given) => performed.push({ call, result: given }),
        () => {}, // the recipe gets the error
      );
    },
    decide: async (_path, _reports, rule) => rule(),
    async gate(_of, gate) {
      if (gate.short !== null) short.push(gate);
    },
    round: async () => true,
  });
  return { results: await runRecipe(verbs, recipe, config), performed, short };
}
