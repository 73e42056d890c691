/** Defines the records of LINGUIST: row -> utterance -> brief -> sample; and drill, from which the generator learns. */
import { z } from 'zod';

const text = z.string().min(1).regex(/\S/, 'it is blank');
const language = text.refine(isLanguage, 'no language tag such as en or pt-BR');
function isLanguage(tag: string): boolean {
  try {
    return Intl.getCanonicalLocales(tag).length === 1;
  } catch {
    return false;
  }
}
const tag = z.string().regex(/^(?:O|[BI]-.*\S.*)$/, 'none of O, B-TYPE and I-TYPE');

/** A row of the user's: tokens with BIO tags, or the `annot_utt` of MASSIVE. `language` and `locale` are language tags. `id` is the same in
 *  the translations of a parallel corpus. */
export const row = z
  .object({
    intent: text,
    tokens: z.array(text).min(1).nullish(),
    tags: z.array(tag).nullish(),
    annot_utt: text.nullish(),
    language: language.nullish(),
    locale: language.nullish(),
    id: z.union([z.string(), z.int()]).nullish(),
  })
  .refine(({ tokens, annot_utt: annotated }) => Boolean(tokens) !== Boolean(annotated), {
    error: 'an utterance has `tokens` and `tags`, or `annot_utt`',
    path: ['tokens'],
  })
  .refine(({ tokens, tags }) => tokens?.length === tags?.length, { error: 'there must be a tag for each token', path: ['tags'] });
export type Row = z.infer<typeof row>;

const fields = {
  id: z.string().nullable(),
  language,
  intent: text,
  tokens: z.array(text).min(1).readonly(),
  tags: z.array(tag).readonly(),
};
/** `language` is the first part of a language tag. */
export const utterance = z.object(fields);
export type Utterance = Readonly<z.infer<typeof utterance>>;

export const MAX_EXAMPLES = 10;
/** What a request asks for. */
const asked = {
  language,
  intent: text,
  /** The slots that the utterance must have, each with its number and its value, or a wildcard. */
  include: z.array(z.tuple([z.int(), text])).readonly(),
  /** Number -> name of the slot type. */
  labels: z.record(z.string(), text),
  /** Annotated utterances of the same intent. */
  examples: z.array(text).max(MAX_EXAMPLES).readonly(),
};
/** `source` is the id of the utterance whose slots are asked for. `legal` has the slot types that the intent can have. */
export const brief = z.object({ id: text, source: text, ...asked, legal: z.array(text).readonly() });
export type Brief = Readonly<z.infer<typeof brief>>;

/** `intent` is the true one; names in `labels` may be codes. */
export const drill = z.object({ ...asked, target: text });
export type Drill = Readonly<z.infer<typeof drill>>;
export type Asked = Omit<Drill, 'target'>;

export const rule = z.enum(['V1', 'V2', 'V3', 'V4', 'V5', 'V6', 'V7', 'V8']);
export type Rule = z.infer<typeof rule>;

/** A generated utterance. `brief`: its request; null: it paraphrases a starter. `raw`: the reply. `rules`: whether it meets each rule that was
 *  checked. `perplexity`: of `raw` under the generator; null: not measured. */
export const sample = z.object({
  ...fields,
  brief: brief.nullable(),
  raw: text,
  rules: z.partialRecord(rule, z.boolean()),
  perplexity: z.number().nullable(),
});
export type Sample = Readonly<z.infer<typeof sample>>;

/** `predicted`: how a tagger that has learnt no generated utterance labels the words. */
export const recognized = sample.extend({ predicted: z.object({ intent: text, tags: z.array(tag).readonly() }) });
export type Recognized = Readonly<z.infer<typeof recognized>>;
