/** What a model must have said to be understood; undefined: it did not. How it sets headers off is its own matter. */
import { plainLines } from '../markup.ts';
import { unframed } from '../unframed.ts';

/** `**Name**:`, `**Name:**`, or either as a Markdown heading; without bold letters it begins a line. */
const header = (name: string) =>
  String.raw`(?:(?:^|(?<=\n))[ \t]*#{0,6}[ \t]*${name}[ \t]*[:：]|(?:(?:^|(?<=\n))[ \t]*#{1,6}[ \t]*)?(\*\*|__)[ \t]*${name}[ \t]*(?:[:：][ \t]*\1|\1[ \t]*[:：]))`;
const constraintsHeader = new RegExp(String.raw`^\s*${header('Constraints?')}`, 'i');
const inputHeader = new RegExp(header('Input'), 'gi');
const taskHeader = new RegExp(header('Task'), 'gi');
const instructionHeader = new RegExp(String.raw`^\s*${header('(?:Instruction|Task)')}`, 'i');
const newConstraint = new RegExp(String.raw`^\s*${header('New[ \t]+Constraint')}([\s\S]+)$`, 'i');
/** Another part of a form, in bold. */
const anyHeader = new RegExp(
  String.raw`(\*\*|__)[ \t]*(?:(?:New[ \t]+)?Constraints?|Input|Task|Instruction|Output|Response|Answer)[ \t]*(?:[:：][ \t]*\1|\1[ \t]*[:：])`,
  'i',
);
const nothing = /^(?:none|n\/?a|null|nil|nothing|empty|no (?:input|text)|not applicable|not (?:provided|given)|none (?:provided|given))?$/i;

/** What stands before and behind the one place of a header. */
function halves(reply: string, header: RegExp): readonly [string, string] | undefined {
  const [match, ...more] = [...reply.matchAll(header)];
  return match === undefined || more.length > 0
    ? undefined
    : [reply.slice(0, match.index), reply.slice(match.index + match[0].length).trim()];
}

/** `##1. one`, `##2. another`, or a numbered list: at least two of them. */
function itemsOf(list: string): string[] | undefined {
  const own = list.replace(constraintsHeader, '');
  const [before = '', ...items] = (/##\s*\d/.test(own) ? own.split(/##\s*\d+[.):]?/) : numbered(own)).map((item) => item.trim());
  return before === '' && items.length >= 2 && items.every((item) => item !== '') ? items : undefined;
}
/** Split at `1.`, `2.`, ... as they follow each other at the beginning of lines. */
function numbered(list: string): string[] {
  const parts = [''];
  for (const line of list.split('\n')) {
    const [mark, number] = /^\s*(?:[-*] )?(?:\*\*|#)?(\d+)[.):](?:\*\*)?\s+/.exec(line) ?? [];
    if (mark !== undefined && Number(number) === parts.length) parts.push(line.slice(mark.length));
    else parts[parts.length - 1] += `\n${line}`;
  }
  return parts;
}

/** Constraints, and after `**Input**:` the text that the instruction is about, or None. */
export function partsIn(reply: string): { readonly constraints: string[]; readonly input: string | null } | undefined {
  const [list = '', input = ''] = halves(reply, inputHeader) ?? [];
  const constraints = itemsOf(list);
  if (constraints === undefined) return undefined;
  const bare = plainLines(input)
    .join(' ')
    .replace(/^[\s(<[]+|[\s)>\].]+$/g, '');
  return { constraints, input: nothing.test(bare) ? null : input };
}

/** Constraints, and after `**Task:**` an instruction. */
export function taskIn(reply: string): { readonly constraints: string[]; readonly instruction: string } | undefined {
  const [list = '', task = ''] = halves(reply, taskHeader) ?? [];
  const constraints = itemsOf(list);
  const instruction = instructionIn(task);
  return constraints === undefined || instruction === undefined ? undefined : { constraints, instruction };
}

/** An instruction, without the header that opens it. Another header of the form that was asked for is no part of one. */
export function instructionIn(reply: string): string | undefined {
  const text = unframed(unframed(reply).replace(instructionHeader, ''));
  return text === '' || anyHeader.test(text) ? undefined : text;
}

export function newConstraintIn(reply: string): string | undefined {
  const constraint = newConstraint.exec(reply)?.[2]?.trim();
  return constraint === undefined || constraint === '' || anyHeader.test(constraint) ? undefined : constraint;
}

/** The last `Answer: Yes` or `Answer: No`; both at once are none. */
export function verdictIn(reply: string): boolean | undefined {
  const verdicts = plainLines(reply)
    .join('\n')
    .matchAll(/\banswer\s*[:=]\W*(yes|no)\b(?!\s*(?:\/|or\b|\|))/gi);
  const said = [...verdicts].at(-1)?.[1];
  return said === undefined ? undefined : said.toLowerCase() === 'yes';
}
