/** Schema of a model's sampling in an experiment file. */
import { z } from 'zod';
import { sayTaken } from './sampling-names.ts';

/** Chat template variables that the client itself sets. */
const own = new Set('messages conversation chat_template add_generation_prompt continue_final_message tokenize return_dict'.split(' '));
/** Values of chat template variables. */
export const templateVariables = z
  .record(z.string().regex(/^[A-Za-z_]\w*$/, 'a name of a variable such as enable_thinking'), z.unknown())
  .refine((kwargs) => Object.keys(kwargs).every((name) => !own.has(name)), `backspin sets ${[...own].join(', ')} itself`);

export const sampling = z
  .strictObject({
    temperature: z.number().min(0).describe('0 decodes greedily, without random choices.'),
    topP: z.number().positive().max(1).exactOptional(),
    topK: z.int().min(1).exactOptional(),
    minP: z.number().positive().max(1).exactOptional().describe("Lowest probability of a token, as a share of the likeliest token's."),
    repetitionPenalty: z.number().positive().exactOptional(),
    presencePenalty: z.number().min(-2).max(2).exactOptional().describe('Taken from the logit of a token that the reply has already.'),
    frequencyPenalty: z
      .number()
      .min(-2)
      .max(2)
      .exactOptional()
      .describe('Taken from the logit of a token for each time that the reply has it.'),
    maxTokens: z.int().min(1).describe('Maximum of tokens in a reply.'),
    chatTemplateKwargs: z
      .record(z.string(), z.unknown())
      .refine((kwargs) => Object.keys(kwargs).every((name) => !own.has(name)), `backspin sets ${[...own].join(', ')} itself`)
      .exactOptional()
      .describe('Variables of the chat template, such as enable_thinking: false.'),
    stop: z
      .union([z.array(z.string().min(1)).readonly(), z.string().min(1)])
      .transform((stop): readonly string[] => [stop].flat())
      .exactOptional()
      .describe('Texts that end a reply, or one text.'),
    choice: z
      .array(z.string().min(1))
      .min(1)
      .readonly()
      .exactOptional()
      .describe('The reply is one of these texts, if the server has structured outputs; `plan` says where it has none.'),
    schema: z
      .union([z.literal(true), z.record(z.string(), z.unknown())])
      .exactOptional()
      .describe(
        'The reply is a JSON text of this JSON Schema, if the server has structured outputs; `plan` says where it has none. true: the schema by which the operator reads replies; `plan` refuses it for an operator that has none.',
      ),
    extra: z
      .record(z.string(), z.unknown())
      .superRefine((fields, context) => {
        for (const field of Object.keys(fields)) {
          const message = sayTaken(field);
          if (message !== undefined) context.addIssue({ code: 'custom', path: [field], message });
        }
      })
      .exactOptional()
      .describe('More fields of the request, sent as they are; part of the key of a step.'),
  })
  .refine(({ choice, schema }) => choice === undefined || schema === undefined, {
    path: ['schema'],
    error: 'goes without `choice`: a reply has one form',
  });
