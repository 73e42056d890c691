/** Compares the plan of a recipe on an empty store with its run. */
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { plan } from '../../plan/planner.ts';
import { resolve } from '../../steps/resolve.ts';
import { openServices } from '../../steps/services.ts';
import type { Plan } from '../../schemas/plan.ts';
import { recipeSchemas } from '../../schemas/recipes/index.ts';
import type { Given, Ran, Stage } from './recipe.ts';

/** Returns the longest plan: the store is empty, and every decision is the recipe's assumption. */
export async function planOf(
  recipe: string,
  { bench }: Pick<Stage, 'bench'>,
  { parameters, data, models, evaluation = {} }: Given,
): Promise<Plan> {
  const { experiment: name, ...context } = bench.context;
  const schema = recipeSchemas[recipe]!;
  const config = { name, recipe, ...context, data, models, evaluation, parameters: schema.parameters.parse(parameters) as object };
  return plan(await openServices(await mkdtemp(join(tmpdir(), 'backspin-plan-'))), config);
}

/** Returns steps that the plan lacks, or whose calls or records exceed it. A shared step costs nothing in the plan, so its calls count
 *  against all steps that share it. */
export async function beyond({ steps, totals }: Plan, ran: Ran, { bench }: Pick<Stage, 'bench'>): Promise<string[]> {
  const { services, context } = bench;
  const planned = new Map(steps.map((step) => [step.path, step]));
  const made = new Map<string, number>();
  const found: string[] = [];
  for (const { call } of ran.performed) {
    const step = planned.get(call.path);
    const { stepKey } = await resolve(call, context, await services.registry([]));
    const output = await services.store.output(stepKey);
    if (!step) found.push(`${call.path} is not planned`);
    if (!step || !output) continue;
    if (step.requests !== null) made.set(stepKey, output.requests);
    if (!step.cached && output.requests > (step.requests ?? Infinity))
      found.push(`${call.path} makes ${output.requests} calls, of ${step.requests} planned`);
    if (output.in > (step.in ?? Infinity)) found.push(`${call.path} reads ${output.in} records, of ${step.in} planned`);
  }
  const all = made.values().reduce((sum, requests) => sum + requests, 0);
  return all > totals.requests ? [...found, `${all} calls are made, of ${totals.requests} planned`] : found;
}
