/** Checks the records of a source against the schema of the step that reads them. */
import type { Schema } from '../recipe/define.ts';
import type { StepCall, DatasetRef } from '../schemas/call.ts';
import type { Registry } from '../steps/registry.ts';
import { formatLike } from '../sources/conversations.ts';
import type { Values } from '../sources/lines.ts';
import { itemsIn } from '../steps/call-inputs.ts';
import { fit } from '../steps/chain.ts';
import type { Sourced } from '../steps/source.ts';

/** A record and its place in a file. */
export type Sample = Pick<Sourced, 'where'> & { readonly value: unknown };
/** Number of records of a source that a plan checks. */
export const SAMPLE_SIZE = 10_000;

/** Returns a sentence about the records that do not fit their reader; undefined if all fit. `all`: none fits, so the step or the source
 *  is wrong. */
export function misfitOf(
  call: StepCall,
  registry: Registry,
  samples: ReadonlyMap<string, readonly Sample[]>,
): { readonly all: boolean; readonly sentence: string } | undefined {
  const { verb, operation, path } = call;
  const { over, data, template } = call.inputs as { over?: DatasetRef; data?: DatasetRef; template?: string };
  const reader = verb === 'train' ? template : operation.split('>')[0]!;
  const sample = samples.get((over ?? data ?? itemsIn(call))?.digest ?? '');
  if (reader === undefined || sample === undefined) return undefined;
  const { input } = readerNamed(reader, verb, registry);
  const misfits = sample.flatMap(({ value, where }) => {
    const fitted = input ? fit(input, value) : { value };
    return 'fault' in fitted ? [`${fitted.fault}${where === undefined ? '' : ` (${where})`}`] : [];
  });
  if (misfits.length === 0) return undefined;
  const all = misfits.length === sample.length;
  const like = all ? formatLike(sample[0]!.value as Values) : undefined;
  const hint = like ? ` It looks like the format ${like}: set \`format: ${like}\` in the params of its source.` : '';
  const of = `${sample.length < SAMPLE_SIZE ? 'the' : 'the first'} ${sample.length}`;
  return {
    all,
    sentence: all
      ? `Step ${path} reads records by ${reader}, and the first of them does not fit: ${misfits[0]}. None of ${of} does.${hint}`
      : `Step ${path} reads records by ${reader}, and will drop ${misfits.length} of ${of} that do not fit, such as ${misfits[0]}.`,
  };
}

function readerNamed(id: string, verb: StepCall['verb'], registry: Registry): { readonly input?: Schema<unknown> | undefined } {
  if (verb === 'map') return registry.operator(id);
  if (verb === 'train') return registry.template(id);
  const suite = registry.suite(id);
  return suite.is === 'suite' ? suite.ask : {};
}
