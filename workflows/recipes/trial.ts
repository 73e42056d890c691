/** Single steps of another recipe, each on the first records of its dataset: `backspin try`. */
import type { Dataset, Model, Recipe, Run } from '../../recipe/api.ts';
import { isRef, type AnyRef, type Result } from '../../schemas/call.ts';

/** A step as its experiment plans it. References to planned results stand for those of earlier steps, or of an import. */
export interface TrialStep {
  readonly path: string;
  readonly verb: 'map' | 'reduce';
  readonly operation: string;
  readonly inputs: { readonly [name: string]: unknown };
  readonly planned: Result;
}
export interface TrialConfig {
  readonly steps: readonly TrialStep[];
  /** Records that each map reads. */
  readonly records: number;
  /** Name of an imported model -> its planned digest. */
  readonly imports: { readonly [name: string]: string };
  readonly [model: string]: unknown;
}

/** Returns the result of the last step. */
export const trial: Recipe<TrialConfig, { tried: Dataset<unknown> | Model }> = async (run, { steps, records, imports, ...models }) => {
  const made = new Map<string, unknown>(Object.entries(imports).map(([name, digest]) => [digest, models[name]]));
  let last: Promise<Dataset<unknown>> | undefined;
  for (const step of steps) {
    last = perform(run, step, resolved(step.inputs, made) as TrialStep['inputs'], records);
    const result = last as Promise<unknown>;
    if (isRef(step.planned)) made.set(step.planned.digest, result);
    else
      for (const [name, { digest }] of Object.entries(step.planned))
        made.set(
          digest,
          result.then((several) => (several as Record<string, AnyRef>)[name]),
        );
  }
  return { tried: await last! };
};

/** `inputs`: with results in the place of planned ones, in parameters too. */
function perform(run: Run, { path, verb, operation }: TrialStep, inputs: TrialStep['inputs'], records: number): Promise<Dataset<unknown>> {
  const { params, inputs: of } = inputs as { params: object; inputs: object };
  if (verb === 'reduce') return run.reduce({ id: operation, inputs: of, params }, { as: path }) as never;
  const { over, ...rest } = inputs;
  const few = run.reduce<Dataset<unknown>>({ id: 'std.first', inputs: { of: over }, params: { count: records } }, { as: `${path}-first` });
  return run.map({ id: operation }, few, { ...rest, as: path } as never);
}

/** Puts results, or the promises of them, in the place of planned ones. */
function resolved(value: unknown, made: ReadonlyMap<string, unknown>): unknown {
  if (isRef(value)) return made.get(value.digest) ?? value;
  if (Array.isArray(value)) return value.map((one) => resolved(one, made));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, resolved(inner, made)]));
}
