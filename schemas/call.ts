/** What a verb becomes: a call, settled and named. Plain JSON, shared by the three `Run`s and by everything that performs one. */

export interface DatasetRef {
  readonly kind: 'dataset';
  /** sha256 over schema id and uncompressed record bytes, in record order. */
  readonly digest: string;
  readonly rows: number;
  /** Of the records that entered the step that gave it, the share that was kept. */
  readonly share?: number | undefined;
}
export interface ModelRef {
  readonly kind: 'model';
  /** sha256 over the names and digests of the files that serve it. */
  readonly digest: string;
}
export interface ReportRef {
  readonly kind: 'report';
  readonly digest: string;
  readonly metrics: Readonly<Record<string, number>>;
  /** Measured by a suite that knows the truth: it may be shown, never decided upon. */
  readonly oracle: boolean;
}
export type AnyRef = DatasetRef | ModelRef | ReportRef;
/** A reducer may give several results, each under a name. */
export type Result = AnyRef | { readonly [name: string]: AnyRef };
export const isRef = (x: unknown): x is AnyRef => typeof x === 'object' && x !== null && 'digest' in x && 'kind' in x;

export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };
export type StepKind = 'map' | 'reduce' | 'train' | 'evaluate';

export interface StepCall {
  readonly verb: StepKind;
  /** Operator ids joined by `>`, a reducer, a source, an objective, a suite. */
  readonly operation: string;
  /** arm/round/label: a name for people, unique in an experiment and never part of a step's identity. */
  readonly path: string;
  readonly label: string;
  readonly arm: string | null;
  readonly round: number | null;
  /** References and parameters, every promise settled. */
  readonly inputs: { readonly [name: string]: unknown };
}

/** Whether a reduction works with a model, and so as a child on a pool. */
export const embeds = ({ verb, inputs }: Pick<StepCall, 'verb' | 'inputs'>): boolean =>
  verb === 'reduce' && refsIn(inputs['inputs']).some(({ kind }) => kind === 'model');

/** Waits for every promise inside a value. References come through whole. */
export async function settle(value: unknown): Promise<unknown> {
  const x = await value;
  if (Array.isArray(x)) return Promise.all(x.map(settle));
  if (typeof x !== 'object' || x === null || isRef(x)) return x;
  const entries = await Promise.all(Object.entries(x).map(async ([key, inner]) => [key, await settle(inner)] as const));
  return Object.fromEntries(entries.filter(([, inner]) => inner !== undefined));
}

/** Every reference inside a settled value. */
export function refsIn(value: unknown): AnyRef[] {
  if (isRef(value)) return [value];
  return typeof value === 'object' && value !== null ? Object.values(value).flatMap(refsIn) : [];
}

/** References become their digests, keys are sorted: equal calls have equal texts. */
export function canonical(value: unknown): string {
  return JSON.stringify(value, (_, x: unknown) => {
    if (isRef(x)) return `${x.kind}:${x.digest}`;
    if (typeof x !== 'object' || x === null || Array.isArray(x)) return x;
    return Object.fromEntries(Object.entries(x).sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)));
  });
}

/** Two equal calls of one experiment are one step. A training is the same in every round (what sets it apart is `repeat`);
 *  a call that draws is fresh in each, so the round tells the others apart here, and the step's key decides. */
export const fingerprintOf = (call: StepCall): string =>
  `${call.verb}:${call.operation}:${hash(canonical([call.inputs, call.verb === 'map' || call.verb === 'reduce' ? call.round : null]))}`;

/** 106 bits, in plain arithmetic: the workflow sandbox has no crypto, and a ledger has no adversary. */
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
