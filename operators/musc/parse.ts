/** Parses replies of MuSC's prompts; undefined if a reply does not parse. Models may style the headers as they like. */
import { plainLines } from '../markup.ts';
import { unframed } from '../unframed.ts';

/** `**Name**:`, `**Name:**`, or either as a Markdown heading; without bold type it must begin a line. */
const headerPattern = (name: string) =>
  String.raw`(?:(?:^|(?<=\n))[ \t]*#{0,6}[ \t]*${name}[ \t]*[:：]|(?:(?:^|(?<=\n))[ \t]*#{1,6}[ \t]*)?(\*\*|__)[ \t]*${name}[ \t]*(?:[:：][ \t]*\1|\1[ \t]*[:：]))`;
const constraintsHeader = new RegExp(String.raw`^\s*${headerPattern('Constraints?')}`, 'i');
const inputHeader = new RegExp(headerPattern('Input'), 'gi');
const taskHeader = new RegExp(headerPattern('Task'), 'gi');
const instructionHeader = new RegExp(String.raw`^\s*${headerPattern('(?:Instruction|Task)')}`, 'i');
const newConstraint = new RegExp(String.raw`^\s*${headerPattern('New[ \t]+Constraint')}([\s\S]+)$`, 'i');
/** A further header, in bold. */
const anyHeader = new RegExp(
  String.raw`(\*\*|__)[ \t]*(?:(?:New[ \t]+)?Constraints?|Input|Task|Instruction|Output|Response|Answer)[ \t]*(?:[:：][ \t]*\1|\1[ \t]*[:：])`,
  'i',
);
const emptyInput =
  /^(?:none|n\/?a|null|nil|nothing|empty|no (?:input|text)|not applicable|not (?:provided|given)|none (?:provided|given))?$/i;

/** Splits a reply at a header that occurs exactly once. */
function splitAtHeader(reply: string, header: RegExp): readonly [string, string] | undefined {
  const [match, ...more] = [...reply.matchAll(header)];
  return match === undefined || more.length > 0
    ? undefined
    : [reply.slice(0, match.index), reply.slice(match.index + match[0].length).trim()];
}

/** Parses `##1. one`, `##2. another`, or a numbered list, with at least two items. */
function parseItems(list: string): string[] | undefined {
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
export function parseParts(reply: string): { readonly constraints: string[]; readonly input: string | null } | undefined {
  const [list = '', input = ''] = splitAtHeader(reply, inputHeader) ?? [];
  const constraints = parseItems(list);
  if (constraints === undefined) return undefined;
  const bare = plainLines(input)
    .join(' ')
    .replace(/^[\s(<[]+|[\s)>\].]+$/g, '');
  return { constraints, input: emptyInput.test(bare) ? null : input };
}

/** Parses constraints, and after `**Task:**` an instruction. */
export function parseTask(reply: string): { readonly constraints: string[]; readonly instruction: string } | undefined {
  const [list = '', task = ''] = splitAtHeader(reply, taskHeader) ?? [];
  const constraints = parseItems(list);
  const instruction = parseInstruction(task);
  return constraints === undefined || instruction === undefined ? undefined : { constraints, instruction };
}

/** Parses an instruction and removes its header. A text with a further header is not an instruction. */
export function parseInstruction(reply: string): string | undefined {
  const text = unframed(unframed(reply).replace(instructionHeader, ''));
  return text === '' || anyHeader.test(text) ? undefined : text;
}

export function parseNewConstraint(reply: string): string | undefined {
  const constraint = newConstraint.exec(reply)?.[2]?.trim();
  return constraint === undefined || constraint === '' || anyHeader.test(constraint) ? undefined : constraint;
}

/** Parses the last `Answer: Yes` or `Answer: No`; `Yes/No` is neither. */
export function parseVerdict(reply: string): boolean | undefined {
  const verdicts = plainLines(reply)
    .join('\n')
    .matchAll(/\banswer\s*[:=]\W*(yes|no)\b(?!\s*(?:\/|or\b|\|))/gi);
  const said = [...verdicts].at(-1)?.[1];
  return said === undefined ? undefined : said.toLowerCase() === 'yes';
}
