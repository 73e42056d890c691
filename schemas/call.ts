/** The call of a step: its verb, operation, name and inputs. Plain JSON; recipes produce calls, and the engine performs them. */

export interface DatasetRef {
  readonly kind: 'dataset';
  /** sha256 over schema id and uncompressed record bytes, in record order. */
  readonly digest: string;
  readonly rows: number;
  /** Share of the records entering its step that were kept. */
  readonly share?: number | undefined;
}
export interface ModelRef {
  readonly kind: 'model';
  /** sha256 over the names and digests of the model's files. */
  readonly digest: string;
}
export interface ReportRef {
  readonly kind: 'report';
  readonly digest: string;
  readonly metrics: Readonly<Record<string, number>>;
  /** Measured against hidden ground truth: a recipe may show it but never base a decision on it. */
  readonly oracle: boolean;
}
export type AnyRef = DatasetRef | ModelRef | ReportRef;
/** The result of a step. A reducer may return several, by name. */
export type Result = AnyRef | { readonly [name: string]: AnyRef };
export const isRef = (x: unknown): x is AnyRef => typeof x === 'object' && x !== null && 'digest' in x && 'kind' in x;

export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };
export type StepKind = 'map' | 'reduce' | 'train' | 'evaluate';

export interface StepCall {
  readonly verb: StepKind;
  /** Operator ids joined by `>`, a reducer, a source, an objective, a suite. */
  readonly operation: string;
  /** arm/round/label: unique in an experiment, for display only. Not part of a step's key. */
  readonly path: string;
  readonly label: string;
  readonly arm: string | null;
  readonly round: number | null;
  /** References and parameters, without promises. */
  readonly inputs: { readonly [name: string]: unknown };
}

/** Whether a reducer embeds with a model, and so runs as a subprocess on a pool. */
export const embeds = ({ verb, inputs }: Pick<StepCall, 'verb' | 'inputs'>): boolean =>
  verb === 'reduce' && refsIn(inputs['inputs']).some(({ kind }) => kind === 'model');

/** Awaits every promise inside a value. Leaves references as they are. */
export async function settle(value: unknown): Promise<unknown> {
  const x = await value;
  if (Array.isArray(x)) return Promise.all(x.map(settle));
  if (typeof x !== 'object' || x === null || isRef(x)) return x;
  const entries = await Promise.all(Object.entries(x).map(async ([key, inner]) => [key, await settle(inner)] as const));
  return Object.fromEntries(entries.filter(([, inner]) => inner !== undefined));
}

/** All references inside a settled value. */
export function refsIn(value: unknown): AnyRef[] {
  if (isRef(value)) return [value];
  return typeof value === 'object' && value !== null ? Object.values(value).flatMap(refsIn) : [];
}

/** Canonical text: references become their digests and keys are sorted, so equal calls have equal texts. */
export function canonical(value: unknown): string {
  return JSON.stringify(value, (_, x: unknown) => {
    if (isRef(x)) return `${x.kind}:${x.digest}`;
    if (typeof x !== 'object' || x === null || Array.isArray(x)) return x;
    return Object.fromEntries(Object.entries(x).sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)));
  });
}

/** Two calls of one experiment with the same fingerprint are one step. A training is the same in every round and differs by `repeat`. A
 *  stochastic call differs in each round; for other calls the round also counts here, but the step's key makes them share a result. */
export const fingerprintOf = (call: StepCall): string =>
  `${call.verb}:${call.operation}:${hash(canonical([call.inputs, call.verb === 'map' || call.verb === 'reduce' ? call.round : null]))}`;

/** A 106-bit hash in plain arithmetic: the workflow sandbox has no crypto module, and no attacker controls a ledger. */
export function hash(text: string): string {
  return mix(text, 0).toString(36) + mix(text, 0x9e3779b9).toString(36);
}
function mix(text: string, seed: number): number {
  let a = 0xdeadbeef ^ seed,
    b = 0x41c6ce57 ^ seed;
  for (let i = 0; i < text.length; i++) {
    const c = text.charCodeAt(i);
    a = Math.imul(a ^ c, 2654435761);
    b = Math.imul(b ^ c, 1597334677);
  }
  a = Math.imul(a ^ (a >>> 16), 2246822507) ^ Math.imul(b ^ (b >>> 13), 3266489909);
  b = Math.imul(b ^ (b >>> 16), 2246822507) ^ Math.imul(a ^ (a >>> 13), 3266489909);
  return 4294967296 * (2097151 & b) + (a >>> 0);
}
