/** Sends prompts as they are. */
import { z } from 'zod';
import { keep, operator, type Prompt } from '../../recipe/index.ts';
import { sampling } from '../../schemas/sampling.ts';
import { requestReply } from '../reply.ts';

const asked = z.object({ prompt: z.custom<Prompt>((value) => typeof value === 'object' && value !== null) });

/** The reply to a prompt, with thoughts and whatever else stands in it. */
export const ask = operator({
  version: 1,
  input: asked,
  output: z.object({ reply: z.string(), finish: z.enum(['stop', 'length']) }),
  params: z.strictObject({ sampling }),
  roles: ['model'],
  capabilities: ['chat'],
  async run({ prompt }, context, params) {
    const { text, finish } = await requestReply(context, 'model', prompt, params.sampling);
    return keep({ reply: text, finish });
  },
});
