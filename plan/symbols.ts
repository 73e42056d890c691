/** Makes symbols for results that do not exist yet: references with a digest of the call that will produce them. */
import type { DeclaredModel } from '../recipe/inputs.ts';
import { canonical, type AnyRef, type DatasetRef, type Result, type StepCall } from '../schemas/call.ts';
import { sha256 } from '../schemas/canonical.ts';
import { externalDigest } from '../steps/external.ts';
import type { Registry } from '../steps/registry.ts';
import type { AnyReducer } from '../steps/resolved.ts';

const SYMBOL = 'planned:';
export const isReal = (ref: AnyRef): boolean => !ref.digest.startsWith(SYMBOL);

export function symbolOf(call: StepCall, registry: Registry, rows: number): Result {
  const key = sha256(canonical([call.verb, call.operation, call.inputs, call.verb === 'map' ? call.round : null]));
  const digest = `${SYMBOL}${key}`;
  const dataset = (name: string): DatasetRef => ({ kind: 'dataset', digest: `${digest}${name}`, rows });
  if (call.verb === 'map' || call.operation.startsWith('source:')) return dataset('');
  if (call.operation === 'model:external') return { kind: 'model', digest: externalDigest(call.inputs as unknown as DeclaredModel) };
  if (call.verb === 'train' || call.operation.startsWith('model:')) return { kind: 'model', digest };
  if (call.verb === 'evaluate') return { kind: 'report', digest, metrics: {}, oracle: registry.suite(call.operation).oracle };
  const { outputs } = registry.reducer(call.operation) as AnyReducer;
  if (outputs === 'report') return { kind: 'report', digest, metrics: {}, oracle: false };
  return outputs === null ? dataset('') : Object.fromEntries(outputs.map((name) => [name, dataset(`.${name}`)]));
}
