/** What a model must have said to be understood; undefined: it did not. */

/** `##1. one`, `##2. another`: at least two of them. */
function itemsOf(list: string): string[] | undefined {
  const [before = '', ...items] = list.split(/##\d+./s).map((item) => item.trim());
  return before === '' && items.length >= 2 && items.every((item) => item !== '') ? items : undefined;
}

/** Constraints, and after `**Input**:` the text that the instruction is about, or None. */
export function partsIn(reply: string): { readonly constraints: string[]; readonly input: string | null } | undefined {
  const [list = '', input, ...more] = reply.split('**Input**:').map((part) => part.trim());
  const constraints = itemsOf(list);
  if (constraints === undefined || input === undefined || more.length > 0) return undefined;
  return { constraints, input: /^(none\.?)?$/i.test(input) ? null : input };
}

/** Constraints, and after `**Task:**` an instruction. */
export function taskIn(reply: string): { readonly constraints: string[]; readonly instruction: string } | undefined {
  const [list = '', task, ...more] = reply.split('**Task:**');
  const constraints = itemsOf(list);
  const instruction = task === undefined ? undefined : instructionIn(task);
  return constraints === undefined || instruction === undefined || more.length > 0 ? undefined : { constraints, instruction };
}

/** An instruction: a word between pairs of asterisks is a header of the form that was asked for, not a part of one. */
export function instructionIn(reply: string): string | undefined {
  const text = reply.trim();
  return text === '' || /\*\*[^\s*]+\*\*/.test(text) ? undefined : text;
}

export function newConstraintIn(reply: string): string | undefined {
  return /^\*\*New Constraint\*\*:(.+)$/s.exec(reply.trim())?.[1]?.trim() || undefined;
}

export function verdictIn(reply: string): boolean | undefined {
  const said = [...reply.matchAll(/\banswer:\W*(yes|no)\b/gi)].at(-1)?.[1];
  return said === undefined ? undefined : said.toLowerCase() === 'yes';
}
