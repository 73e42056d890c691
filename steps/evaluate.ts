/** Evaluates a suite: over a model it asks about each item and computes metrics; over a dataset it only computes metrics. */
import type { DatasetRef, StepCall } from '../schemas/call.ts';
import type { Sampling, SuiteDef } from '../recipe/define.ts';
import { harnessMetrics } from '../devices/lm-eval.ts';
import type { WantedCapabilities } from '../inference/capability.ts';
import type { Output } from '../schemas/store.ts';
import { recordId } from '../schemas/canonical.ts';
import { BackspinError } from '../schemas/errors.ts';
import type { Registry } from './registry.ts';
import type { Store } from '../store/store.ts';
import { itemsIn, operatorCalls } from './call-inputs.ts';
import { DropCounter, weakestDeterminism, outputOf, RECORDS, type Counts } from './commit.ts';
import { checkParams, promptIds } from './definitions.ts';
import { checkConservation } from './joined.ts';
import type { Done } from './journal.ts';
import { rowsOf, reportRef } from './reduce.ts';
import type { AnyOperator, Resolved } from './resolved.ts';
import type { Services } from './services.ts';
import type { StepContext } from '../schemas/steps.ts';

type AnySuite = SuiteDef<never, Readonly<Record<string, number>>, string, object>;

/** The suite's items as a dataset. Equal items are asked once. */
export async function itemsOf({ store, registry }: Services, resolved: Resolved, context: StepContext): Promise<DatasetRef> {
  const { operation, path } = resolved.call;
  const suite = (await registry(context.modules)).suite(operation) as AnySuite;
  const items = itemsIn(resolved.call);
  if (items) return items;
  if (suite.asksData)
    throw new BackspinError(
      'ConfigError',
      `Step ${path} evaluates by ${operation}, which has no items of its own: the evaluation in the experiment file names a dataset under \`data\`, or the recipe gives one as the parameter \`test\`.`,
    );
  const writer = store.write(RECORDS);
  const seen = new Set<string>();
  for (const value of suite.items(resolved.params)) {
    const id = recordId(value, []);
    if (seen.has(id)) continue;
    seen.add(id);
    await writer.add({ id, from: [], value });
  }
  return writer.commit('exact');
}

/** The inner map of an evaluation: a chain with the suite's operator `ask`. */
export function suiteOperatorStep(resolved: Resolved, registry: Registry): Resolved {
  if (resolved.call.verb !== 'evaluate') return resolved;
  const { ask } = registry.suite(resolved.call.operation) as AnySuite;
  const { params, stepKey, versions, sources } = resolved;
  const prompts = promptIds(params, registry);
  const operator = ask as unknown as AnyOperator;
  return { ...resolved, chain: [{ operation: resolved.call.operation, operator, stepKey, versions, sources, params, prompts }] };
}

/** The capabilities and samplings that a step needs in these roles. */
export function wantedCapabilities(resolved: Resolved, registry: Registry, roles: readonly string[]): WantedCapabilities {
  const links = suiteOperatorStep(resolved, registry).chain.filter(({ operator }) => operator.roles.some((role) => roles.includes(role)));
  return {
    capabilities: links.flatMap(({ operator }) => operator.capabilities),
    samplings: links.flatMap((link) => samplingsOf(link, roles)),
  };
}

/** The samplings of an operator in these roles. By convention its parameter `sampling` holds one sampling for all its roles, or one for
 *  each role or kind of call, by its name. */
export function samplingsOf({ operator, params }: { operator: AnyOperator; params: object }, roles: readonly string[]): Sampling[] {
  const { sampling } = params as { sampling?: Sampling | Record<string, Sampling> };
  if (sampling === undefined || !operator.roles.some((role) => roles.includes(role))) return [];
  if ('maxTokens' in sampling) return [sampling as Sampling];
  return Object.entries(sampling).flatMap(([name, own]) => (roles.includes(name) || !operator.roles.includes(name) ? own : []));
}

/** The operators of a map, or the one by which a suite asks a model, with their checked parameters. */
export function askingOperators(call: StepCall, registry: Registry): { operator: AnyOperator; params: object }[] {
  if (call.verb !== 'evaluate') return operatorCalls(call, registry);
  const suite = registry.suite(call.operation);
  return suite.is === 'suite' ? [{ operator: suite.ask as unknown as AnyOperator, params: checkParams(call, registry) }] : [];
}

/** Computes the metrics and stores the answers as records beside them. `done` maps the id of an item to its outcome. */
export async function measureModel(
  store: Store,
  registry: Registry,
  resolved: Resolved,
  items: DatasetRef,
  done: ReadonlyMap<string, Done>,
  spent: Pick<Counts, 'uses'> & { requests: number; tokens: number; attempts: number; seconds: number },
): Promise<Output> {
  const suite = registry.suite(resolved.call.operation) as AnySuite;
  const { params } = resolved;
  const pairs = [];
  const writer = store.write(RECORDS);
  const drops = new DropCounter(store);
  try {
    for await (const { id, value: item } of store.read(items)) {
      const settled = done.get(id);
      checkConservation(resolved, settled !== undefined);
      const { kept, dropped } = settled!;
      const answer = kept[0]![0]?.value;
      pairs.push({ item, answer });
      if (answer === undefined) {
        const { reason, evidence, value } = dropped.at(-1)!;
        await drops.add(id, reason, evidence, value);
        continue;
      }
      const value = { item, answer, ...(suite.each && { measured: suite.each({ item, answer }, params) }) };
      await writer.add({ id: recordId(value, [id]), from: [id], value });
    }
    const metrics = { ...(suite.harness && (await harnessMetrics(suite.harness(pairs)))), ...suite.measure(pairs, params) };
    const result = reportRef(resolved, metrics, suite.oracle);
    const determinism = await weakestDeterminism(store, resolved.determinism, Object.values(resolved.cast));
    const counts = { in: items.rows, kept: items.rows - drops.count, dropped: drops.counts, ...spent };
    const answers = await writer.commit(determinism);
    return await store.putOutput({ ...outputOf(resolved, result, counts, await drops.commit(determinism), determinism), answers });
  } catch (error) {
    await writer.abort();
    await drops.abort();
    throw error;
  }
}

export async function measureData(store: Store, registry: Registry, resolved: Resolved): Promise<Output> {
  const started = performance.now();
  const suite = registry.suite(resolved.call.operation);
  if (suite.is !== 'data-suite') throw new Error(`${resolved.call.operation} measures models`);
  const of = resolved.call.inputs['of'] as DatasetRef;
  const metrics = await suite.measure(rowsOf(of, store) as never, resolved.params as never);
  const counts = { in: of.rows, kept: of.rows, dropped: {}, requests: 0, tokens: 0, seconds: (performance.now() - started) / 1000 };
  return store.putOutput(
    outputOf(resolved, reportRef(resolved, metrics, suite.oracle), counts, null, await weakestDeterminism(store, 'exact', [of])),
  );
}
