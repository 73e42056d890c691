/** What an operator asks a model first for a record. */
import { setImmediate } from 'node:timers/promises';
import type { Context, Prompt, Rec, Sampling } from '../recipe/define.ts';
import type { StepCall } from '../schemas/call.ts';
import { BackspinError } from '../schemas/errors.ts';
import type { StepContext } from '../schemas/steps.ts';
import { operatorCalls } from '../steps/call-inputs.ts';
import { fit, loadParams } from '../steps/chain.ts';
import { promptIds } from '../steps/definitions.ts';
import { recordContextOf } from '../steps/model-calls.ts';
import type { Registry } from '../steps/registry.ts';
import type { Store } from '../store/store.ts';

export interface Request {
  readonly role: string;
  readonly prompt: Prompt;
  /** Of a scorer: the texts whose probability it asks for. */
  readonly continuations?: readonly string[];
  readonly sampling?: Sampling;
}
/** The requests, or why there are none. */
export type Asked = { readonly requests: readonly Request[] } | { readonly none: string };

/** Runs the operators of a map on a record up to the first that asks a model, which gets no answer. Returns the requests that it makes at
 *  once. `stepKey` seeds what operators draw. */
export async function firstRequests(
  call: StepCall,
  record: Rec<unknown>,
  { registry, context, store, stepKey }: { registry: Registry; context: StepContext; store: Store; stepKey: string },
): Promise<Asked> {
  const requests: Request[] = [];
  const never = new Promise<never>(() => {});
  const note = (request: Request): Promise<never> => {
    requests.push(request);
    return never;
  };
  let current = [record];
  for (const { id, operator, params } of operatorCalls(call, registry)) {
    const loaded = (await loadParams(params, store)) as never;
    const next: Rec<unknown>[] = [];
    for (const one of current) {
      const given = fit(operator.input, one.value);
      if ('fault' in given) return { none: `${id} cannot read the record: ${given.fault}` };
      const link = { operation: id, operator, stepKey, params, prompts: promptIds(params, registry) };
      const asking: Context<string> = {
        ...recordContextOf(one, link, { registry, seed: context.seed, signal: new AbortController().signal }),
        chat: (role, messages, sampling) => note({ role, prompt: { messages }, sampling }),
        complete: (role, prompt, sampling) => note({ role, prompt, sampling }),
        score: (role, prompt, continuations) => note({ role, prompt, continuations }),
        attempts: (_, body) => body(0),
      };
      const ran = Promise.resolve().then(() => operator.run(given.value, asking, loaded));
      const outcome = await Promise.race([ran, idle()]);
      if (requests.length > 0) return { requests };
      if (outcome === undefined)
        throw new BackspinError('ConfigError', `${id} neither asks a model nor ends: it waits for something else.`);
      if ('dropped' in outcome)
        return { none: `${id} drops the record as ${outcome.dropped}${outcome.evidence ? `: ${outcome.evidence}` : ''}` };
      next.push(...outcome.kept.map((value) => ({ id: one.id, from: one.from, value })));
    }
    current = next;
  }
  return { none: 'the step asks no model' };
}

/** Rounds of the event loop in which an operator comes to its first request, unless it waits for something. */
const ROUNDS = 100;
async function idle(): Promise<undefined> {
  for (let round = 0; round < ROUNDS; round++) await setImmediate();
}
