/** Implements stage 2 of AIR (2502.17787) for one document: the guidance model compares the student's answer with the document and adds
 *  constraints. */
import { z } from 'zod';
import { drop, keep, operator, type Context } from '../../recipe/index.ts';
import { registered } from '../../schemas/config.ts';
import { lengths } from '../../schemas/recipes/air.ts';
import { constraintType, type ConstraintType } from '../../schemas/recipes/air-types.ts';
import { sampling } from '../../schemas/sampling.ts';
import { drawSample } from '../musc/shots.ts';
import { wholeReply } from '../reply.ts';
import { parseConstraint, parseDuplicate, parseGrades } from './parse.ts';
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

/** D, S1, then J, Q, A and C in turn, at most `iterations` times, until the judge finds no new constraint. The judge sees the initial
 *  instruction, the student the instruction with all added constraints. */
export const refine = operator({
  version: 1,
  input: rated,
  output: refined,
  params,
  roles: ['guidance', 'student'],
  capabilities: ['chat'],
  stochastic: () => true, // random order of the types, even at temperature 0
  calls: ({ iterations }) => 2 + 4 * iterations - 1,
  async run(rated, context, params) {
    const { iterations, lengths } = params;
    const request = bindRequest(context, params);
    const [polished, first] = await Promise.all([request('guidance', 'polish', rated), request('student', 'answer', rated)]);
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
      const reply = await request('student', 'answer', { instruction }); // A
      if ('dropped' in reply || wordsOf(reply.text) < lengths.answer) {
        steps.push({ ...found, output: null, satisfied: null });
        ending = { ended: 'no-answer', said: 'dropped' in reply ? (reply.evidence ?? null) : reply.text };
        break;
      }
      output = reply.text;
      const criteria = [found.constraint];
      const checked = await request('guidance', 'check', { instruction: rated.instruction, output, criteria }); // C
      const grades = 'dropped' in checked ? undefined : parseGrades(checked.text, criteria.length);
      steps.push({ ...found, output, satisfied: grades?.[0] ?? null });
    }
    return keep({ ...rated, polished: polished.text, answer: first.text, steps, ...ending });
  },
});

/** Returns a function that sends the prompts named by the parameters. */
const bindRequest =
  (context: Context<'guidance' | 'student'>, { prompts, sampling }: Params) =>
  (role: 'guidance' | 'student', prompt: keyof Params['prompts'], slots: object) =>
    wholeReply(context, role, context.prompt(prompts[prompt], slots), sampling[role]);

/** J and Q: finds a constraint of a type that the document does not have yet and that repeats no earlier constraint. */
async function nextConstraint(
  context: Context<'guidance' | 'student'>,
  params: Params,
  asked: Omit<Judged, 'types'>,
  steps: readonly Step[],
): Promise<Pick<Step, 'type' | 'constraint'> | Ended> {
  const request = bindRequest(context, params);
  const used = steps.map(({ type }) => type);
  const left = params.types.filter(({ name }) => !used.includes(name));
  if (left.length === 0) return { ended: 'types', said: null };
  const types = sampleTypes(left, context.random(`types ${steps.length}`));
  const said = await request('guidance', 'judge', { ...asked, types });
  if ('dropped' in said) return { ended: 'truncated', said: said.evidence ?? null };
  const names = params.types.map(({ name }) => name);
  const found = parseConstraint(said.text, names, used, params.lengths);
  if (typeof found === 'string') return { ended: found, said: said.text };
  if (steps.length === 0) return found;
  const earlier = steps.map(({ constraint }) => constraint);
  const compared = await request('guidance', 'compare', { constraint: found.constraint, earlier });
  if ('dropped' in compared) return { ended: 'truncated', said: compared.evidence ?? null };
  return parseDuplicate(compared.text) ? { ended: 'duplicate', said: found.constraint } : found;
}

/** Shuffles the types and picks one example for each. */
const sampleTypes = (types: readonly ConstraintType[], random: () => number): Judged['types'] =>
  drawSample(types, types.length, random).map(({ name, about, examples }) => ({
    name,
    about,
    example: drawSample(examples, 1, random)[0]!,
  }));
