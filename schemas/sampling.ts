/** Schema of a model's sampling in an experiment file. */
import { z } from 'zod';

/** Chat template variables that the client itself sets. */
const own = new Set('messages conversation chat_template add_generation_prompt continue_final_message tokenize return_dict'.split(' '));
/** Values of chat template variables. */
export const templateVariables = z
  .record(z.string().regex(/^[A-Za-z_]\w*$/, 'a name of a variable such as enable_thinking'), z.unknown())
  .refine((kwargs) => Object.keys(kwargs).every((name) => !own.has(name)), `backspin sets ${[...own].join(', ')} itself`);

export const sampling = z.strictObject({
  temperature: z.number().min(0).describe('0 decodes greedily, without random choices.'),
  topP: z.number().positive().max(1).exactOptional(),
  topK: z.int().min(1).exactOptional(),
  repetitionPenalty: z.number().positive().exactOptional(),
  maxTokens: z.int().min(1).describe('Maximum of tokens in a reply.'),
  chatTemplateKwargs: z
    .record(z.string(), z.unknown())
    .refine((kwargs) => Object.keys(kwargs).every((name) => !own.has(name)), `backspin sets ${[...own].join(', ')} itself`)
    .exactOptional()
    .describe('Variables of the chat template, such as enable_thinking: false.'),
  stop: z.array(z.string().min(1)).readonly().exactOptional().describe('Texts that end a reply.'),
});
