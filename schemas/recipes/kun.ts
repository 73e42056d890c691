/** Parameters of Kun (2401.06477). Defaults come from its released code and model cards if they state them, else from us. */
import { z } from 'zod';
import { promptName, registered, type RecipeSchema } from '../config.ts';
import { sampling } from '../sampling.ts';
import { trainingChange, trainingWith } from '../training.ts';
import { judgeCheck } from './shared.ts';

/** Words that refer to missing context, and words of a model that apologizes or quotes. */
const words = {
  zh: {
    instruction: ['新闻', '材料', '图片', '链接', '网址', '根据', '简历', '简介', '文章', '摘要', '文本', '摘录', '关键词', '网站'],
    response: ['作为', '根据', '知识库', '2023', '抱歉', '对不起'],
  },
  en: {
    instruction: [
      'news',
      'material',
      'picture',
      'image',
      'link',
      'url',
      'according to',
      'résumé',
      'resume',
      'profile',
      'article',
      'abstract',
      'text',
      'passage',
      'extract',
      'excerpt',
      'keyword',
      'website',
    ],
    response: ['as an ai', 'as a language model', 'according to', 'knowledge base', 'sorry'],
  },
};
const list = z.array(z.string().min(1));

const sampled = { temperature: 0.5, topP: 0.95, repetitionPenalty: 1.2, maxTokens: 512 };

const parameters = z.strictObject({
  maxTokens: z
    .int()
    .min(2)
    .default(512)
    .describe('Maximum length of a text, and of a text with its instruction, in tokens of the reader. Longer ones are dropped, never cut.'),
  maxPerplexity: z
    .number()
    .positive()
    .nullable()
    .default(null)
    .describe('Maximum perplexity of a text for the reader. null: no limit. The paper does not state it.'),
  words: z
    .strictObject({
      instruction: list.default([...words.zh.instruction, ...words.en.instruction]),
      response: list.default([...words.zh.response, ...words.en.response]),
    })
    .prefault({})
    .describe(
      'An instruction or a response with one of these words is dropped. Words in Latin letters count as whole words, in singular and plural; the default lists are Chinese and English.',
    ),
  minChars: z.int().min(0).default(20).describe('Minimum of characters of a response; a Han character counts as one.'),
  minimum: z.int().min(1).default(100).describe('Minimum of pairs; with fewer the experiment waits for a person.'),
  judgeCheck: judgeCheck.describe(
    'Measures the judge on the instructions of the seed beside responses in the place of instructions. null: it is not measured.',
  ),
  finalFrom: z
    .enum(['primary', 'base'])
    .default('primary')
    .describe('Model from which the final training starts: the chat model of the seed, as in the figure of the paper, or the base.'),
  arms: z
    .array(z.enum(['unpolished', 'unjudged']))
    .default([])
    .describe(
      'Controls: `unpolished` trains on the same instructions with the original texts; `unjudged` on as many instructions drawn blindly, with polished answers.',
    ),
  sampling: z
    .strictObject({
      label: sampling.default(sampled),
      point: sampling.default({ ...sampled, maxTokens: 16 }),
      polish: sampling.default({ ...sampled, maxTokens: 1024 }),
    })
    .prefault({}),
  labelSft: trainingWith({ learningRate: 1e-5, length: { epochs: 6 }, batch: 16, maxTokens: 2048 })
    .prefault({})
    .describe('Training of the label model.'),
  chatSft: trainingWith({ learningRate: 1e-5, length: { epochs: 4 }, batch: 16, maxTokens: 2048 })
    .prefault({})
    .describe('Training of the chat model that judges and answers.'),
  finalSft: trainingChange.default({}).describe('Differences from `chatSft` for the final model.'),
  templates: z
    .strictObject({ toInstruction: registered.default('kun.toInstruction'), toResponse: registered.default('kun.toResponse') })
    .prefault({}),
  prompts: z
    .strictObject({
      label: promptName.default('kun.labelling'),
      point: promptName.default('kun.pointing'),
      polish: promptName.default('kun.polishing'),
    })
    .prefault({}),
});
export type KunParameters = z.output<typeof parameters>;

export const kun = {
  parameters,
  data: { seed: 'required', texts: 'required' },
  models: { base: 'required', reader: 'optional', point: 'optional', answer: 'optional' },
  evaluation: ['forward', 'backward', 'labelled', 'pairs'],
  roles: ['reader', 'label', 'point', 'answer', 'model'],
} satisfies RecipeSchema;
