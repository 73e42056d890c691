/** Runs one record through the operators of a map. */
import { Rejected, TooLong } from '../inference/client.ts';
import { drop, type Context, type Outcome, type Rec, type Schema } from '../recipe/define.ts';
import { isRef, type DatasetRef } from '../schemas/call.ts';
import { recordId } from '../schemas/canonical.ts';
import { BackspinError } from '../schemas/errors.ts';
import { faultOf } from '../schemas/faults.ts';
import type { Store } from '../store/store.ts';
import type { Done } from './journal.ts';
import { operatorContext, failedCalls, GivenUp, type BatchResources, type RecordJournal } from './model-calls.ts';
import type { Link } from './resolved.ts';

interface ChainWork extends BatchResources, RecordJournal {
  readonly resolved: { readonly chain: readonly Link[] };
  /** The chain's parameters with their datasets loaded. */
  readonly params: object;
  /** Operators at the start of the chain whose results exist already. */
  readonly skip: number;
}

/** Returns the records that each operator kept and dropped. Operators are numbered from the first of the chain, whatever `skip` is. */
export async function throughChain(source: Rec<unknown>, work: ChainWork): Promise<Done> {
  const kept: Rec<unknown>[][] = Array.from({ length: work.skip }, () => []);
  const dropped: Done['dropped'][number][] = [];
  let current: readonly Rec<unknown>[] = [source];
  for (const [op, link] of work.resolved.chain.entries()) {
    if (op < work.skip) continue;
    const next: Rec<unknown>[] = [];
    for (const record of current) {
      const outcome = await outcomeOf(link, record, operatorContext(record, op, link, work), work);
      if ('dropped' in outcome)
        dropped.push({ op, id: record.id, reason: outcome.dropped, evidence: outcome.evidence ?? null, value: record.value });
      else next.push(...outcome.kept);
    }
    kept.push(next);
    current = next;
  }
  return { kept, dropped };
}

/** Runs an operator on a record. Drops the record if a schema or the server refuses it, or if the operator's code throws. Throws errors
 *  that concern the whole step. */
async function outcomeOf(
  link: Link,
  record: Rec<unknown>,
  context: Context<string>,
  { params, signal }: Pick<ChainWork, 'params' | 'signal'>,
): Promise<Outcome<Rec<unknown>>> {
  const { operation, operator } = link;
  const id = operation.split('>').at(-1)!;
  const input = fit(operator.input, record.value);
  if ('fault' in input) return drop('invalid', `${id} cannot read it: ${input.fault}`);
  try {
    const outcome = await operator.run(input.value, context, ownParams(link, params));
    if ('dropped' in outcome) return outcome;
    if (outcome.kept.length === 0) throw new Error('it kept no record and dropped none: use drop(reason)');
    const most = operator.maxRows(link.params);
    if (outcome.kept.length > most)
      throw new Error(`it kept ${outcome.kept.length} records of one, and its \`maxRows\` gives ${most} as the most`);
    const kept: Rec<unknown>[] = [];
    for (const [ordinal, raw] of outcome.kept.entries()) {
      const output = fit(operator.output, raw);
      if ('fault' in output) return drop('invalid', `${id} gave what its own schema refuses: ${output.fault}`);
      kept.push({ id: recordId(output.value, [record.id], ordinal), from: [record.id], value: output.value });
    }
    return { kept };
  } catch (error) {
    if (error instanceof Rejected) return drop('rejected', `${error.status}: ${error.message}`);
    if (error instanceof TooLong) return drop('too-long', error.message);
    if (error instanceof GivenUp) return drop(error.reason, error.message);
    if (failedCalls.has(error as Error) || signal.aborted) throw error;
    if (error instanceof BackspinError && error.type === 'SchemaError')
      return drop('invalid', `${id} gave what nothing can store: ${error.message}`);
    if (error instanceof BackspinError) throw error;
    return drop(THREW, `${id} threw ${String(error)}`);
  }
}

/** Drop reason of a record if the operator's code throws. */
export const THREW = 'error';
/** The parsed value, or the schema's complaint. */
export function fit(schema: Schema<unknown>, value: unknown): { readonly value: unknown } | { readonly fault: string } {
  try {
    return { value: schema.parse(value) };
  } catch (error) {
    return { fault: faultOf(error, value).replace(/\.$/, '') };
  }
}

/** The parameters of one operator with their datasets, from the loaded parameters of the chain. */
const ownParams = ({ params }: Link, loaded: object): object =>
  Object.fromEntries(Object.entries(params).map(([key, value]) => [key, isRef(value) ? (loaded as Record<string, unknown>)[key] : value]));

/** Replaces references to datasets by their values. */
export async function loadParams(params: object, store: Store): Promise<object> {
  const entries = await Promise.all(
    Object.entries(params).map(
      async ([name, value]) => [name, isRef(value) && value.kind === 'dataset' ? await values(value, store) : value] as const,
    ),
  );
  return Object.fromEntries(entries);
}
async function values(ref: DatasetRef, store: Store): Promise<unknown[]> {
  const rows = [];
  for await (const record of store.read(ref)) rows.push(record.value);
  return rows;
}
