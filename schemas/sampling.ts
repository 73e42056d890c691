/** How a model is sampled, as an experiment file says it. */
import { z } from 'zod';

export const sampling = z.strictObject({
  temperature: z.number().min(0).describe('0 decodes greedily, and draws nothing at random.'),
  topP: z.number().positive().max(1).exactOptional(),
  topK: z.int().min(1).exactOptional(),
  repetitionPenalty: z.number().positive().exactOptional(),
  maxTokens: z.int().min(1).describe('Tokens of a reply.'),
  stop: z.array(z.string().min(1)).readonly().exactOptional().describe('Texts that end a reply.'),
});
