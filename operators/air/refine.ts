/** Stage 2 of AIR (2502.17787) on one document: the guidance compares what the student says with the document, and adds constraints. */
import { z } from 'zod';
import { drop, keep, operator, type Context } from '../../recipe/index.ts';
import { registered } from '../../schemas/config.ts';
import { lengths } from '../../schemas/recipes/air.ts';
import { constraintType, type ConstraintType } from '../../schemas/recipes/air-types.ts';
import { sampling } from '../../schemas/sampling.ts';
import { drawn } from '../musc/shots.ts';
import { wholeReply } from '../reply.ts';
import { constraintIn, duplicateIn, gradesIn } from './parse.ts';
import type { Judged } from './prompts.ts';
import { rated, refined, wordsOf, type Ending, type Step } from './records.ts';

const params = z.object({
  prompts: z.object({ polish: registered, answer: registered, judge: registered, compare: registered, check: registered }),
  sampling: z.object({ guidance: sampling, student: sampling }),
  iterations: z.int().min(1),
  types: z.array(constraintType),
  lengths,
});
type Params = z.infer<typeof params>;
type Ended = { readonly ended: Ending; readonly said: string | null };

/** D, S1, then J, Q, A and C in turn: at most `iterations` times, and until the judge has nothing new to demand. The judge sees the initial
 *  instruction, the student all that was added to it. */
export const refine = operator({
  version: 1,
  input: rated,
  output: refined,
  params,
  roles: ['guidance', 'student'],
  capabilities: ['chat'],
  stochastic: () => true, // the order of the types, at any temperature
  calls: ({ iterations }) => 2 + 4 * iterations - 1,
  async run(rated, context, params) {
    const { iterations, lengths } = params;
    const say = speaking(context, params);
    const [polished, first] = await Promise.all([say('guidance', 'polish', rated), say('student', 'answer', rated)]);
    if ('dropped' in polished) return polished;
    if ('dropped' in first) return first;
    const short = [polished, first].find(({ text }) => wordsOf(text) < lengths.answer);
    if (short) return drop('short', short.text);

    const steps: Step[] = [];
    let instruction = rated.instruction;
    let output = first.text;
    let ending: Ended = { ended: 'iterations', said: null };
    while (steps.length < iterations) {
      const asked = { instruction: rated.instruction, polished: polished.text, output };
      const found = await nextConstraint(context, params, asked, steps); // J and Q
      if ('ended' in found) {
        ending = found;
        break;
      }
      instruction = `${instruction}\n\n${found.constraint}`; // U
      const told = await say('student', 'answer', { instruction }); // A
      if ('dropped' in told || wordsOf(told.text) < lengths.answer) {
        steps.push({ ...found, output: null, satisfied: null });
        ending = { ended: 'no-answer', said: 'dropped' in told ? (told.evidence ?? null) : told.text };
        break;
      }
      output = told.text;
      const criteria = [found.constraint];
      const checked = await say('guidance', 'check', { instruction: rated.instruction, output, criteria }); // C
      const grades = 'dropped' in checked ? undefined : gradesIn(checked.text, criteria.length);
      steps.push({ ...found, output, satisfied: grades?.[0] ?? null });
    }
    return keep({ ...rated, polished: polished.text, answer: first.text, steps, ...ending });
  },
});

/** Asks in the words of a prompt that a parameter names. */
const speaking =
  (context: Context<'guidance' | 'student'>, { prompts, sampling }: Params) =>
  (role: 'guidance' | 'student', prompt: keyof Params['prompts'], slots: object) =>
    wholeReply(context, role, context.prompt(prompts[prompt], slots), sampling[role]);

/** J and Q: a constraint of a type that the document has not had, and which repeats none. */
async function nextConstraint(
  context: Context<'guidance' | 'student'>,
  params: Params,
  asked: Omit<Judged, 'types'>,
  steps: readonly Step[],
): Promise<Pick<Step, 'type' | 'constraint'> | Ended> {
  const say = speaking(context, params);
  const used = steps.map(({ type }) => type);
  const left = params.types.filter(({ name }) => !used.includes(name));
  if (left.length === 0) return { ended: 'types', said: null };
  const types = shown(left, context.random(`types ${steps.length}`));
  const said = await say('guidance', 'judge', { ...asked, types });
  if ('dropped' in said) return { ended: 'truncated', said: said.evidence ?? null };
  const names = params.types.map(({ name }) => name);
  const found = constraintIn(said.text, names, used, params.lengths);
  if (typeof found === 'string') return { ended: found, said: said.text };
  if (steps.length === 0) return found;
  const earlier = steps.map(({ constraint }) => constraint);
  const compared = await say('guidance', 'compare', { constraint: found.constraint, earlier });
  if ('dropped' in compared) return { ended: 'truncated', said: compared.evidence ?? null };
  return duplicateIn(compared.text) ? { ended: 'duplicate', said: found.constraint } : found;
}

/** In any order, each with one of its examples. */
const shown = (types: readonly ConstraintType[], random: () => number): Judged['types'] =>
  drawn(types, types.length, random).map(({ name, about, examples }) => ({ name, about, example: drawn(examples, 1, random)[0]! }));
