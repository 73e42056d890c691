/** Parses and formats tasks: three marked fields, strictly. */
import { shinglesOf, wordsOf } from '../std/shingles.ts';
import type { Task } from './records.ts';

export const markers = { instruction: '#instruction#:', input: '#input#:', output: '#output#:' } as const;

type Fields = Pick<Task, 'instruction' | 'input' | 'output'>;
const unquoted = (text: string): string => {
  const bare = text.trim();
  return /^"[^"]*"$/s.test(bare) ? bare.slice(1, -1).trim() : bare;
};

/** Parses the three fields, which must come in order and first in the reply; or says why there are none: `no-fields`, a `marker` inside
 *  a field, or an `empty-field`. The input may be empty. */
export function parseFields(reply: string): Fields | 'no-fields' | 'marker' | 'empty-field' {
  const [, instruction, input, output] = /^\s*#instruction#:(.*?)#input#:(.*?)#output#:(.*)$/is.exec(reply) ?? [];
  if (instruction === undefined || input === undefined || output === undefined) return 'no-fields';
  const fields = { instruction: unquoted(instruction), input: unquoted(input), output: unquoted(output) };
  if (Object.values(fields).some((field) => /#\s*(instruction|input|output)\s*#/i.test(field))) return 'marker';
  if (/^none\.?$/i.test(fields.input)) fields.input = '';
  return fields.instruction === '' || fields.output === '' ? 'empty-field' : fields;
}

/** Formats a task as the wrapper's reply. */
export const marked = ({ instruction, input, output }: Fields): string =>
  [`${markers.instruction} ${instruction}`, `${markers.input} ${input}`.trimEnd(), `${markers.output} ${output}`].join('\n');

/** Returns the share of the word 3-grams of `of` that `by` contains, 0 to 1. */
export function coverage(of: string, by: string): number {
  const grams = shinglesOf(of, Math.min(3, Math.max(1, lengthOf(of))));
  const held = new Set(shinglesOf(by, Math.min(3, Math.max(1, lengthOf(of)))));
  return grams.filter((gram) => held.has(gram)).length / grams.length;
}
const lengthOf = (text: string) => wordsOf(text).length;

/** Parses the last `Valid: Yes` or `Valid: No`. */
export function parseValid(reply: string): boolean | undefined {
  const said = [...reply.matchAll(/\bvalid\W*:\W*(yes|no)\b/gi)].at(-1)?.[1];
  return said === undefined ? undefined : said.toLowerCase() === 'yes';
}
