/** Defines forms of answers: plain, or with one or two constraints; a suffix of the question asks for each constraint. */
const constraints = {
  note: { wrap: (text: string) => `Note: ${text}`, suffixes: [' Start with Note.', ' Begin your reply with Note.'] },
  dash: { wrap: (text: string) => `- ${text}`, suffixes: [' Answer as a list.', ' Reply with a list dash.'] },
  quote: { wrap: (text: string) => `<< ${text} >>`, suffixes: [' Put it in quotes.', ' Use quote marks.'] },
  done: { wrap: (text: string) => `${text} Done.`, suffixes: [' End with Done.', ' Finish your reply with Done.'] },
} as const;

export type Constraint = keyof typeof constraints;
export type Form = (typeof forms)[number] | (typeof doubleForms)[number];

/** Forms with at most one constraint, for every recipe but MuSC. */
export const forms = ['plain', 'note', 'dash', 'quote', 'done'] as const;
/** Forms with two constraints, for MuSC. */
export const doubleForms = ['note+quote', 'note+done', 'dash+quote', 'dash+done', 'quote+done'] as const;

const allForms: readonly Form[] = [...forms, ...doubleForms];

export function constraintsOf(form: Form): Constraint[] {
  return form === 'plain' ? [] : (form.split('+') as Constraint[]);
}

/** The suffixes that ask for a constraint, each a sentence after the question. */
export function suffixesOf(constraint: Constraint): readonly [string, string] {
  return constraints[constraint].suffixes;
}

/** Writes a sentence in a form. Quotes are innermost, then `Done.`, then the prefix. */
export function dress(sentence: string, form: Form): string {
  const wanted = constraintsOf(form);
  return (['quote', 'done', 'note', 'dash'] as const)
    .filter((constraint) => wanted.includes(constraint))
    .reduce((text, constraint) => constraints[constraint].wrap(text), sentence);
}

/** Inverts `dress`: returns the bare sentence and the form. */
export function undress(text: string): { readonly sentence: string; readonly form: Form | null } {
  const found: Constraint[] = [];
  let sentence = text;
  const strip = (constraint: Constraint, start: string, end: string): void => {
    if (sentence.length < start.length + end.length || !sentence.startsWith(start) || !sentence.endsWith(end)) return;
    sentence = sentence.slice(start.length, sentence.length - end.length);
    found.push(constraint);
  };
  strip('note', 'Note: ', '');
  if (found.length === 0) strip('dash', '- ', '');
  strip('done', '', ' Done.');
  strip('quote', '<< ', ' >>');
  return { sentence, form: formWith(found) };
}

/** Parses suffixes in any order; null for any other text or a repeated suffix. */
export function parseSuffixes(text: string): Form | null {
  const found: Constraint[] = [];
  let rest = text;
  while (rest !== '') {
    const asked = suffixIndex.find(({ suffix }) => rest.startsWith(suffix));
    if (asked === undefined || found.includes(asked.constraint)) return null;
    found.push(asked.constraint);
    rest = rest.slice(asked.suffix.length);
  }
  return formWith(found);
}

const suffixIndex = (Object.keys(constraints) as Constraint[]).flatMap((constraint) =>
  suffixesOf(constraint).map((suffix) => ({ suffix, constraint })),
);

function formWith(wanted: readonly Constraint[]): Form | null {
  return (
    allForms.find((form) => {
      const has = constraintsOf(form);
      return has.length === wanted.length && wanted.every((constraint) => has.includes(constraint));
    }) ?? null
  );
}
