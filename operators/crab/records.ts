/** Defines the records of CRAB: pair -> pair with constraints -> conversation. */
import { z } from 'zod';
import { rule } from '../rules/index.ts';

const text = z.string().min(1).regex(/\S/, 'it is blank');

/** `source` names the dataset that the pair comes from; missing: all pairs come from one. */
export const pair = z.object({ instruction: text, response: text, source: z.string().default('') });
export type Pair = Readonly<z.infer<typeof pair>>;

/** What the response meets already. `rule` is what code can check; null: a model named it. */
export const constraint = z.object({ type: text, text, rule: rule.nullable() });
export type Constraint = Readonly<z.infer<typeof constraint>>;

/** `refined` is the instruction in more detail; null: there is none. `unread` names the requests whose replies cannot be read. */
export const described = pair.extend({
  refined: text.nullable(),
  constraints: z.array(constraint),
  unread: z.array(z.enum(['refine', 'whole', 'part', 'check'])),
});
export type Described = Readonly<z.infer<typeof described>>;

/** `overlap`: number of constraints that `refined` says already. */
export const tidied = described.extend({ overlap: z.int().min(0) });
export type Tidied = Readonly<z.infer<typeof tidied>>;

/** Teaches an annotator that follows no requests: `prompt` is what it is asked. */
export const lesson = z.object({ prompt: text, reply: text });
export type Lesson = Readonly<z.infer<typeof lesson>>;

const message = z.object({ role: z.enum(['system', 'user', 'assistant']), content: z.string() });
/** A conversation whose last turn is learnt. */
export const chat = z.object({ messages: z.array(message).min(2), weight: z.number().exactOptional() });
export type Conversation = Readonly<z.infer<typeof chat>>;

/** `pairs` are the ids of the pair and of those in the earlier turns; `constraints` counts those of the pair. */
export type Composed = Conversation & { readonly pairs: readonly string[]; readonly source: string; readonly constraints: number };
