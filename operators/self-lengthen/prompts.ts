/** Defines the prompts of Self-Lengthen in our own words (2410.23933), in Chinese for what is in Chinese. */
import { prompt, template, type Chat } from '../../recipe/index.ts';
import { example } from '../example.ts';
import { user, withReply } from '../turns.ts';
import { lesson, piece, thinned, type Demanding, type Lesson, type Piece, type Seed, type Thinned } from './records.ts';
import { isChinese } from './text.ts';

/** A1: two instructions as the beginning of a list, which the model continues. */
export const invent = prompt<{ readonly examples: readonly string[] }>({
  version: 1,
  example: { examples: [example.instruction, 'Write a story about a lighthouse.'] },
  render({ examples }) {
    const request = isChinese(examples.join('\n'))
      ? '请构思几条彼此不同的指令，每条都要求写一篇长文，例如小说、报告、指南、演讲稿或散文。每条指令本身要完整清楚。只写编号列表。'
      : 'Make up several different instructions. Each asks for one long text, such as a story, a report, a guide, a speech or an essay, and can be followed without any other text. Write only a numbered list.';
    const listed = examples.map((example, at) => `${at + 1}. ${example}\n`).join('');
    return { messages: user(request), prefill: `${listed}${examples.length + 1}.` };
  },
});

/** A2: whether the instruction is one for a long text. */
export const suits = prompt<Seed>({
  version: 1,
  example: { instruction: example.instruction },
  render: ({ instruction }) => ({
    messages: user(
      isChinese(instruction)
        ? `指令：\n${instruction}\n\n按照这条指令，能否写出一篇两千字以上、内容充实的文章？只回答“是”或“否”。`
        : `Instruction:\n${instruction}\n\nCan one write an article of more than 2,000 words to this instruction, without padding? Answer only yes or no.`,
    ),
  }),
});

/** B1: the instruction alone. */
export const answer = prompt<Seed>({
  version: 1,
  template: 'self-lengthen.toText',
  example: { instruction: example.instruction },
  render: ({ instruction }) => ({ messages: user(instruction) }),
});

const enriching = ({ instruction, outline }: Pick<Thinned, 'instruction' | 'outline'>) =>
  user(
    isChinese(outline)
      ? `指令：\n${instruction}\n\n提纲：\n${outline}\n\n提纲是按照指令写成的一篇文章的缩略稿。请写出完整的文章：依照提纲的顺序，用细节、理由和例子充实每一部分。不要在提纲结尾之后续写，不要重复，不要写空话。只写文章本身。`
      : `Instruction:\n${instruction}\n\nOutline:\n${outline}\n\nThe outline is a shortened form of a text to the instruction. Write the whole text: enrich each part of the outline, in its order, with details, reasons and examples. Do not go on after the end of the outline, do not repeat yourself, and use no empty phrases. Write only the text.`,
  );
/** C: the outline is the first half of the text, or all of it. */
export const enrich = prompt<Pick<Thinned, 'instruction' | 'outline'>>({
  version: 1,
  template: 'self-lengthen.toLonger',
  example: { instruction: example.instruction, outline: example.text },
  render: (slots) => ({ messages: enriching(slots) }),
});

/** F3: the instruction with its demand. */
export const restate = prompt<Pick<Demanding, 'instruction' | 'phrase'>>({
  version: 1,
  example: { instruction: example.instruction, phrase: 'about 2,000 words' },
  render: ({ instruction, phrase }) => ({
    messages: user(
      isChinese(instruction)
        ? `指令：\n${instruction}\n\n篇幅：${phrase}\n\n请改写这条指令，使它要求这个篇幅；原有的篇幅要求用它替换。说法可以多样，数字照原样写，其他内容不变。只写改写后的指令。`
        : `Instruction:\n${instruction}\n\nLength: ${phrase}\n\nRewrite the instruction so that it demands this length, in place of any other length that it demands. Say it in a way of your own, with the numbers as they stand here, and change nothing else. Write only the instruction.`,
    ),
  }),
});

/** For the suite: the grades of a text, without regard to its length. */
export const grade = prompt<{ readonly instruction: string; readonly response: string; readonly dimensions: readonly string[] }>({
  version: 1,
  example: { instruction: example.instruction, response: example.response, dimensions: ['Relevance', 'Accuracy'] },
  render: ({ instruction, response, dimensions }) => ({
    messages: user(
      `Instruction:\n${instruction}\n\nText:\n${response}\n\nGrade the text as an answer to the instruction, from 1 (very poor) to 10 (excellent), for ${dimensions.join(', ')}. Do not let its length count, either way. Reply with one JSON object: "Analysis", your reasons in a few sentences, then a whole number for each of ${dimensions.map((name) => `"${name}"`).join(', ')}.`,
    ),
  }),
});

/** D1: the generator learns the extended text; also F4. */
export const toText = template<Piece, Chat>({
  version: 1,
  input: piece,
  render: ({ instruction, text }) => withReply(user(instruction), text),
});

/** D2: the extender learns to fill in what the outline lacks. */
export const toLonger = template<Thinned, Chat>({
  version: 1,
  input: thinned,
  render: (record) => withReply(enriching(record), record.text),
});

/** Lessons of the base. */
export const toReply = template<Lesson, Chat>({
  version: 1,
  input: lesson,
  render: ({ prompt, reply }) => withReply(user(prompt), reply),
});
