/** The types of constraints that CRAB asks a model for (2410.24175): the ten of its code, and two more of the paper's table 4. Names and
 *  wording are ours. The thirteenth, the circumstances of the task, is the refined instruction. */
import { z } from 'zod';

export const constraintType = z.strictObject({
  name: z
    .string()
    .regex(/^[a-z]+(?:_[a-z]+)*$/, 'lower-case words with underscores are needed, such as writing_style')
    .describe("The type's key in the model's reply."),
  about: z.string().min(1).describe('What a constraint of this type says, after "what".'),
  scope: z.enum(['whole', 'part']).describe('Which of two requests asks for it: that about the whole response, or that about its parts.'),
  markup: z
    .boolean()
    .default(false)
    .describe('A constraint that names a mark of lists or emphasis counts only if the response has this mark.'),
});
export type ConstraintType = z.output<typeof constraintType>;

const whole = (name: string, about: string) => ({ name, about, scope: 'whole' as const, markup: false });
const part = (name: string, about: string, markup = false) => ({ name, about, scope: 'part' as const, markup });

export const constraintTypes: readonly ConstraintType[] = [
  whole('writing_style', 'style and tone the response has, and for which readers'),
  whole('meaning', 'theme, main point or message the response conveys'),
  whole('avoidance', 'words, phrases or formats the response does without'),
  whole('language', 'language or languages the response is written in'),
  whole('literary_devices', 'literary devices the response uses, such as metaphor or rhyme'),
  whole('grammar', 'grammatical structure the sentences share, such as tense, person or voice'),
  part('order', 'comes first in the response, and how its parts follow each other'),
  part('output_format', 'format the output has, such as a table, JSON, HTML, LaTeX or a program'),
  part('paragraphs', 'number of paragraphs or sections the response has, and what separates them', true),
  part('fixed_sentence', 'words stand at the beginning or at the end of the response'),
  part('emphasis', 'marks headings or key words, such as **bold**, *italics* or capital letters', true),
  part('item_format', 'mark each list item begins with, such as •, 1. or -, and how an item is built', true),
];
