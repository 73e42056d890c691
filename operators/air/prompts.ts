/** Defines the prompts of AIR in our own words, in the reply format that its code parses (2502.17787). */
import { prompt, template, type Chat, type Message } from '../../recipe/index.ts';
import { complex, lesson, type Complex, type Lesson, type Rated, type Source, type Started } from './records.ts';
import { afterExamples, user, withReply } from '../turns.ts';
import { example } from '../example.ts';
import { mergeShots, type MergeShot } from './shots.ts';

const listed = (items: readonly string[]): string => items.map((item) => `- ${item}`).join('\n');
const userPrompt = <T extends object>(shown: NoInfer<T>, words: (slots: T) => string) =>
  prompt<T>({ version: 1, example: shown, render: (slots) => ({ messages: user(words(slots)) }) });
const { instruction, constraint } = example;
const begun: Started = { text: example.text, instruction };

/** 1e: asks for a short instruction for a document. */
export const ask = userPrompt<Source>(
  { text: example.text },
  ({ text }) =>
    `Text:\n${text}\n\nWrite one short instruction that this text would be a good answer to. It is not a question, and it does not mention the text. Write only the instruction.`,
);

const appraised = [
  ['Describe how a lighthouse works.', 'It is a clear task of general interest, and needs no text.', 5],
  ['Summarise the article above in two sentences.', 'It is a task and clear, but nobody can do it without the article.', 2],
  ['What my sister thought of her holiday.', 'It is no task, and asks for what one person thought.', 0],
  ['Write a plan for a small garden.', 'It is a task that many have, but does not say where the garden is or what it is for.', 4],
] as const;
/** 1f: asks for the additive score. */
export const appraise = prompt<Started>({
  version: 2,
  example: begun,
  render: ({ instruction }) => ({
    messages: afterExamples(
      `Score an instruction. It gets one point for each of these that holds:
1. It is a task.
2. A language model can do it with what it knows.
3. It needs no particular text, document or view of one person.
4. It is clear by itself and says what matters.
5. Its topic is useful to many people.
Give your reasons in a few words, then the sum as "Score: N/5".`,
      appraised.map(([example, reasons, score]) => [`Instruction: ${example}`, `${reasons}\nScore: ${score}/5`] as const),
      `Instruction: ${instruction}`,
    ),
  }),
});

/** D: rewrites the document as an answer to its instruction. */
export const polish = userPrompt<Started>(
  begun,
  ({ instruction, text }) =>
    `Instruction: ${instruction}\n\nText:\n${text}\n\nRewrite the text as a helpful answer to the instruction. Keep what it says, and leave out what does not belong to an answer. Write only the answer.`,
);

/** S1, A, Y: the instruction alone. */
export const answer = userPrompt<Pick<Rated, 'instruction'>>({ instruction }, ({ instruction }) => instruction);

export interface Judged {
  readonly instruction: string;
  readonly polished: string;
  readonly output: string;
  readonly types: readonly { readonly name: string; readonly about: string; readonly example: string }[];
}
const outputs = ({ instruction, polished, output }: Pick<Judged, 'instruction' | 'polished' | 'output'>): string =>
  `Instruction: ${instruction}\n\nOutput1:\n${polished}\n\nOutput2:\n${output}`;
const found = (analysis: string, type: string, constraint: string): string =>
  `**Analysis**: ${analysis}\n**Type**: ${type}\n**Constraint**: ${constraint}`;
/** J: asks for one constraint that would bring the student's answer closer to the document. The examples are of the first two types. */
export const judge = prompt<Judged>({
  version: 2,
  example: {
    instruction,
    polished: example.text,
    output: example.response,
    types: [
      { name: 'tone and style', about: 'is written in a certain tone or style', example: 'Write in a friendly tone.' },
      { name: 'prior condition', about: 'fits a situation that is given beforehand', example: 'It is night.' },
    ],
  },
  render: ({ types, ...judged }) => ({
    messages: afterExamples(
      `Two answers to an instruction follow, and Output1 is the better one. Find one constraint that Output1 meets and Output2 does not meet. It is of one of these types:
${listed(types.map(({ name, about, example }) => `${name}: the answer ${about}. For example: ${example}`))}

Reply in this form:
${found('how the two differ, in a few words', 'the type', 'the constraint in 10 to 20 words, without mentioning the outputs; or None')}`,
      compared.map(([one, reply]) => [outputs(one), reply(types)] as const),
      outputs(judged),
    ),
  }),
});
const compared = [
  [
    {
      instruction: 'Explain how to store apples.',
      polished: 'Keep apples in a cool, dark cellar at 2 degrees, each wrapped in paper.',
      output: 'Apples can be stored in many ways, and they are healthy.',
    },
    ([type]: Judged['types']) =>
      found(
        'the first names a place and a temperature, the second stays vague',
        type!.name,
        'Name a suitable place and the temperature at which apples should be stored.',
      ),
  ],
  [
    {
      instruction: 'Name two uses of copper.',
      polished: 'Copper is used for wires and for roofs.',
      output: 'Copper is used in wires and in roofs.',
    },
    ([type]: Judged['types']) => found('they say the same', type!.name, 'None'),
  ],
  [
    {
      instruction: 'Describe a lighthouse.',
      polished: 'A lighthouse is a tower with a lamp. It shows ships where the coast is.',
      output: 'A lighthouse is a very tall building by the sea that many people like to visit on holidays with their families.',
    },
    ([first, second = first]: Judged['types']) =>
      found(
        'the first is shorter and says what it is for',
        second!.name,
        'Answer in two short sentences, and say what a lighthouse is for.',
      ),
  ],
] as const;

/** Q: whether a constraint was there before. */
export const compare = userPrompt<{ readonly constraint: string; readonly earlier: readonly string[] }>(
  { constraint, earlier: [constraint] },
  ({ constraint, earlier }) =>
    `Earlier constraints:
${listed(earlier)}

New constraint:
- ${constraint}

Does one of the earlier constraints demand the same as the new one? Reply in this form:
**Reasoning**: a few words
**Answer**: Yes or No`,
);

/** C: how well an answer meets what it was told. */
export const check = userPrompt<{ readonly instruction: string; readonly output: string; readonly criteria: readonly string[] }>(
  { instruction, output: example.response, criteria: [constraint] },
  ({ instruction, output, criteria }) =>
    `Instruction: ${instruction}

Answer:
${output}

How well does the answer meet each criterion? 0: not at all. 1: a little. 2: mostly. 3: without any flaw.
${listed(criteria)}

Write a line for each criterion: the criterion, a tab, and the score.`,
);

export interface Merging {
  readonly instruction: string;
  readonly constraints: readonly string[];
  readonly shots: readonly MergeShot[];
}
const opening = '**Instruction**:';
const merging = (instruction: string, constraints: readonly string[]): readonly Message[] =>
  user(
    `Write one instruction that holds the instruction and all constraints below. Say nothing twice, and add nothing.\n\nInstruction: ${instruction}\nConstraints:\n${listed(constraints)}`,
  );
/** M: merges the instruction and its constraints. */
export const combine = prompt<Merging>({
  version: 1,
  example: { instruction, constraints: [constraint], shots: mergeShots.slice(0, 1) },
  render: ({ instruction, constraints, shots }) => ({
    messages: [
      ...shots.flatMap(
        (shot) =>
          withReply(
            merging(shot.instruction, shot.constraints.slice(0, constraints.length)),
            `${opening} ${shot.merged(constraints.length)}`,
          ).messages,
      ),
      ...merging(instruction, constraints),
    ],
    prefill: opening,
  }),
});

/** The merged instruction and the guidance model's response. */
export const toResponse = template<Complex, Chat>({
  version: 1,
  input: complex,
  render: ({ instruction, response }) => withReply(user(instruction), response),
});
/** The merged instruction, and the polished document instead of a response. */
export const toDocument = template<Complex, Chat>({
  version: 1,
  input: complex,
  render: ({ instruction, document }) => withReply(user(instruction), document),
});
/** Training rows for a guidance model. */
export const toReply = template<Lesson, Chat>({
  version: 1,
  input: lesson,
  render: ({ prompt, reply }) => withReply(user(prompt), reply),
});
