/** Defines the prompts of MuSC in our own words, in the reply format that its code parses (2502.11541). */
import { prompt, template, type Message, type Preference, type Prompt, type WeightedPreference } from '../../recipe/index.ts';
import { example } from '../example.ts';
import { user, withReply } from '../turns.ts';
import { contrast, weightedPair, type Contrast, type Demo, type WeightedPair } from './records.ts';

const listed = (constraints: readonly string[]): string => constraints.map((constraint, n) => `##${n + 1}. ${constraint}`).join('\n');
const inputOf = ({ input }: Pick<Demo, 'input'>): string => input ?? 'None';

/** A request with demonstrations as earlier turns, and a prefill for the reply. */
const shown = <T>(
  request: string,
  shots: readonly Demo[],
  ask: (one: T | Demo) => string,
  opening: string,
  show: (shot: Demo) => string,
  of: T,
): Prompt => ({
  messages: [
    ...shots.flatMap((shot) => withReply(user(`${request}\n\n${ask(shot)}`), `${opening}${show(shot)}`).messages),
    ...user(`${request}\n\n${ask(of)}`),
  ],
  prefill: opening,
});

const demos: readonly Demo[] = [
  { instruction: example.instruction, input: null, constraints: ['Explain why the sky is blue.', example.constraint] },
];
const { constraints } = demos[0]!;

/** Decomposes an instruction. */
export const takeApart = prompt<{ readonly instruction: string; readonly shots: readonly Demo[] }>({
  version: 1,
  example: { instruction: example.instruction, shots: demos },
  render: ({ instruction, shots }) =>
    shown(
      'List what the instruction below demands as numbered constraints, the first of which is the task itself; then the text that it is about, or None. Use the headers **Constraints**: and **Input**:.',
      shots,
      ({ instruction }) => instruction,
      '**Constraints**:',
      (shot) => `\n${listed(shot.constraints)}\n**Input**: ${inputOf(shot)}`,
      { instruction },
    ),
});

/** Combines constraints and text into one instruction. */
export const putTogether = prompt<Pick<Demo, 'constraints' | 'input'> & { readonly shots: readonly Demo[] }>({
  version: 1,
  example: { constraints, input: example.text, shots: demos },
  render: ({ constraints, input, shots }) =>
    shown(
      'Write one instruction that demands just what the constraints below do, about the text below, if there is one. Use the header **Instruction**: and write nothing else.',
      shots,
      (parts) => `**Constraints**:\n${listed(parts.constraints)}\n**Input**: ${inputOf(parts)}`,
      '**Instruction**:',
      (shot) => ` ${shot.instruction}`,
      { constraints, input },
    ),
});

const inventing = (count: string, shots: readonly Demo[]): readonly Message[] =>
  user(
    [
      `Make up one task with ${count} constraints. Write its constraints first, numbered, the first of which is the task itself, then the task in full. Use the headers **Constraints:** and **Task:**. Some examples:`,
      ...shots.map((shot) => `**Constraints:**\n${listed(shot.constraints)}\n**Task:** ${shot.instruction}`),
    ].join('\n\n'),
  );
/** Invents an instruction. */
export const makeUp = prompt<{ readonly shots: readonly Demo[] }>({
  version: 1,
  example: { shots: demos },
  render: ({ shots }) => ({ messages: inventing('more than 5', shots), prefill: '**Constraints:**' }),
});
/** Writes the task again for given constraints. */
export const makeUpAnew = prompt<{ readonly shots: readonly Demo[]; readonly constraints: readonly string[] }>({
  version: 1,
  example: { shots: demos, constraints },
  render: ({ shots, constraints }) => ({
    messages: inventing('several', shots),
    prefill: `**Constraints:**\n${listed(constraints)}\n**Task:**`,
  }),
});

const rewriting = (how: string) =>
  prompt<{ readonly constraint: string }>({
    version: 1,
    example: { constraint: example.constraint },
    render: ({ constraint }) => ({
      messages: user(
        `Write a constraint that ${how} the one below. Begin with **New Constraint**: and write nothing else.\n\n${constraint}`,
      ),
    }),
  });
export const substitute = rewriting('is on the same subject but deviates from');
export const negate = rewriting('demands the opposite of');

/** Asks whether an answer meets one constraint. */
export const judge = prompt<{ readonly instruction: string; readonly response: string; readonly constraint: string }>({
  version: 1,
  example: { instruction: example.instruction, response: example.response, constraint: example.constraint },
  render: ({ instruction, response, constraint }) => ({
    messages: user(
      `Instruction:\n${instruction}\n\nResponse:\n${response}\n\nDoes the response fully meet this constraint: ${constraint}\n\nWrite a short analysis, then "Answer: Yes" or "Answer: No".`,
    ),
  }),
});

/** Prompts the model with an instruction; an empty one measures the unconditional log-probability. */
export const instruct = prompt<{ readonly instruction: string }>({
  version: 1,
  example: { instruction: example.instruction },
  render: ({ instruction }) => ({ messages: user(instruction) }),
});

/** Both answers to the complete instruction, with a weight for each token. */
export const toWeighted = template<WeightedPair, WeightedPreference>({
  version: 1,
  input: weightedPair,
  render: ({ instruction, chosen, rejected }) => ({ prompt: user(instruction), chosen, rejected }),
});

/** Both answers to the complete instruction, with equal weights for all tokens. */
export const toPair = template<Contrast, Preference>({
  version: 1,
  input: contrast,
  render: ({ instruction, chosen, rejected }) => ({ prompt: user(instruction), chosen, rejected }),
});
