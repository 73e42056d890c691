/** Defines the prompts of Kun in our own words, in Chinese and in English, after the release code. */
import { prompt, template, type Chat } from '../../recipe/index.ts';
import { pair, type Pair, type Segment } from '../humpback/records.ts';
import { example } from '../example.ts';
import { afterExamples, user, withReply } from '../turns.ts';

/** y -> x: the same prompt for training and inference. */
const askForInstruction = {
  zh: (text: string) => user(`下面是一段回答。请写出它最可能对应的指令，只写指令。\n\n${text}`),
  en: (text: string) => user(`Write the instruction that the text below answers, and nothing else.\n\n${text}`),
};
export const labelling = prompt<Segment>({
  version: 1,
  template: 'kun.toInstruction',
  example: { text: example.text },
  render: ({ text }) => ({ messages: askForInstruction.zh(text) }),
});
export const labellingEnglish = prompt<Segment>({
  version: 1,
  template: 'kun.toInstructionEnglish',
  example: { text: example.text },
  render: ({ text }) => ({ messages: askForInstruction.en(text) }),
});
export const toInstruction = template<Pair, Chat>({
  version: 1,
  input: pair,
  render: ({ instruction, response }) => withReply(askForInstruction.zh(response), instruction),
});
export const toInstructionEnglish = template<Pair, Chat>({
  version: 1,
  input: pair,
  render: ({ instruction, response }) => withReply(askForInstruction.en(response), instruction),
});

/** x -> y, in both languages. */
export const toResponse = template<Pair, Chat>({
  version: 1,
  input: pair,
  render: ({ instruction, response }) => withReply(user(instruction), response),
});
export const respond = prompt<Pick<Pair, 'instruction'>>({
  version: 1,
  template: 'kun.toResponse',
  example: { instruction: example.instruction },
  render: ({ instruction }) => ({ messages: user(instruction) }),
});

interface Judging {
  readonly rule: string;
  readonly lead: string;
  readonly good: string;
  readonly bad: string;
  /** Instructions, each with whether it is good. */
  readonly examples: readonly (readonly [instruction: string, good: boolean])[];
}
const judging = ({ rule, lead, good, bad, examples }: Judging) =>
  prompt<Pick<Pair, 'instruction'>>({
    version: 2,
    template: 'kun.toResponse',
    example: { instruction: example.instruction },
    render: ({ instruction }) => ({
      messages: afterExamples(
        rule,
        examples.map(([example, isGood]) => [lead + example, isGood ? good : bad] as const),
        lead + instruction,
      ),
    }),
  });

/** Judges the instruction without the response; in doubt the verdict is bad. */
export const pointing = judging({
  rule: `判断一条指令的质量，只回答【好】或【差】。

【好】：清楚、具体、完整，不看别的内容也能完成，顺序合理。
【差】：涉及私人信息（例如某个人的名字），含糊，信息缺失或过时，不现实，过于复杂，需要图片或声音，或者前后混乱。
拿不准时回答【差】。`,
  lead: '指令：',
  good: '【好】',
  bad: '【差】',
  examples: [
    ['介绍三种节约用水的方法。', true],
    ['王小明的电话号码是多少？', false],
    ['说说那件事。', false],
    ['用简单的话解释什么是光合作用。', true],
    ['总结上面的内容。', false],
    ['画出图中的建筑。', false],
    ['写一首诗。写一首诗。写一首诗。', false],
  ],
});
export const pointingEnglish = judging({
  rule: `Judge an instruction. Reply with [GOOD] or [BAD].

[GOOD]: it is clear and complete, and can be done without seeing anything else.
[BAD]: it is vague or confused, asks about a private person, or needs something that is not shown. If in doubt, reply [BAD].`,
  lead: 'Instruction: ',
  good: '[GOOD]',
  bad: '[BAD]',
  examples: [
    ['Name three ways to save water.', true],
    ["What is John Miller's phone number?", false],
    ['Tell me about that.', false],
    ['Explain photosynthesis in simple words.', true],
    ['Summarise the above.', false],
    ['Describe the building in the picture.', false],
    ['Write a poem. Write a poem. Write a poem.', false],
  ],
});

/** Answers the instruction with the text in the prompt. */
interface Known {
  readonly text: string;
  readonly instruction: string;
}
export const polishing = prompt<Known>({
  version: 1,
  template: 'kun.toResponse',
  example: { text: example.text, instruction: example.instruction },
  render: ({ text, instruction }) => ({ messages: user(`已知：${text}\n\n请回答：${instruction}`) }),
});
export const polishingEnglish = prompt<Known>({
  version: 1,
  template: 'kun.toResponse',
  example: { text: example.text, instruction: example.instruction },
  render: ({ text, instruction }) => ({ messages: user(`${text}\n\nUse this to answer: ${instruction}`) }),
});
