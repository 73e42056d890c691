/** How a model is sampled, as an experiment file says it. */
import { z } from 'zod';

/** What the request itself says of the turns. */
const own = new Set('messages conversation chat_template add_generation_prompt continue_final_message tokenize return_dict'.split(' '));

export const sampling = z.strictObject({
  temperature: z.number().min(0).describe('0 decodes greedily, and draws nothing at random.'),
  topP: z.number().positive().max(1).exactOptional(),
  topK: z.int().min(1).exactOptional(),
  repetitionPenalty: z.number().positive().exactOptional(),
  maxTokens: z.int().min(1).describe('Tokens of a reply.'),
  chatTemplateKwargs: z
    .record(z.string(), z.unknown())
    .refine((kwargs) => Object.keys(kwargs).every((name) => !own.has(name)), `backspin sets ${[...own].join(', ')} itself`)
    .exactOptional()
    .describe('What the chat template of a model takes beside the turns, such as enable_thinking: false.'),
  stop: z.array(z.string().min(1)).readonly().exactOptional().describe('Texts that end a reply.'),
});
