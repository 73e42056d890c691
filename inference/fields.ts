/** The fields of a request that say how a server samples, in the dialect of that server. */
import type { Sampling } from '../recipe/define.ts';
import { BackspinError } from '../schemas/errors.ts';
import type { External } from '../schemas/external.ts';
import { REQUEST_FIELDS } from '../schemas/sampling-names.ts';

/** What a server takes beyond the fields that all take. */
export interface Dialect {
  /** How it takes `choice` and `schema`. `choice`: as vLLM's structured outputs, without schemas. null: it takes neither. */
  readonly structured?: 'choice' | NonNullable<External['structured']> | null;
  /** Settings of sampling that it does not take. */
  readonly omit?: NonNullable<External['omit']>;
  /** It may refuse `seed`, or the name `max_tokens`: it then gets the request without the seed, or with `max_completion_tokens`. */
  readonly adapts?: boolean;
}
/** What the refusals of a server have shown. */
export interface Learnt {
  maxTokensField: 'max_tokens' | 'max_completion_tokens';
  seeds: boolean;
}

/** Whether requests carry this setting. */
export function takes(setting: keyof Sampling, { structured = null, omit = [] }: Dialect): boolean {
  if (setting === 'choice') return structured !== null;
  if (setting === 'schema') return structured !== null && structured !== 'choice';
  return !omit.includes(setting as never);
}

export function samplingFields(sampling: Sampling, seed: number, dialect: Dialect, learnt: Learnt): object {
  const { temperature, maxTokens, stop, extra, ...settings } = sampling;
  const named = Object.entries({ ...settings, ...(stop && stop.length > 0 && { stop }) })
    .filter(([name]) => name in REQUEST_FIELDS && takes(name as keyof Sampling, dialect))
    .map(([name, value]) => [REQUEST_FIELDS[name as keyof typeof REQUEST_FIELDS], value]);
  return {
    ...(takes('temperature', dialect) && { temperature }),
    [learnt.maxTokensField]: maxTokens,
    ...(learnt.seeds && { seed }),
    ...Object.fromEntries(named),
    ...structuredFields(sampling, dialect),
    ...extra,
  };
}

/** The property of an object that holds a `choice`: OpenAI's schemas are of objects only. */
const CHOSEN = 'choice';

function structuredFields({ choice, schema }: Sampling, dialect: Dialect): object {
  if (choice && takes('choice', dialect)) {
    if (dialect.structured !== 'response_format') return { structured_outputs: { choice } };
    const properties = { [CHOSEN]: { type: 'string', enum: choice } };
    return jsonSchema({ type: 'object', properties, required: [CHOSEN], additionalProperties: false });
  }
  if (!schema || !takes('schema', dialect)) return {};
  if (schema === true) throw new BackspinError('CapabilityMissing', NO_OWN_SCHEMA);
  return dialect.structured === 'structured_outputs' ? { structured_outputs: { json: schema } } : jsonSchema(schema);
}
const NO_OWN_SCHEMA =
  '`schema: true` in sampling stands for the schema of the operator that asks, and this operator has none: write a JSON Schema, or leave `schema` out.';
const jsonSchema = (schema: object) => ({ response_format: { type: 'json_schema', json_schema: { name: 'reply', strict: true, schema } } });

/** The text of a reply, or what it chose if the request had a `choice` as a JSON Schema. A reply that was cut off stays as it is. */
export function chosenText(text: string, { choice }: Sampling, { structured }: Dialect): string {
  if (!choice || structured !== 'response_format') return text;
  try {
    const chosen = (JSON.parse(text) as Record<string, unknown> | null)?.[CHOSEN];
    return typeof chosen === 'string' ? chosen : text;
  } catch {
    return text;
  }
}

const names = (refusal: string, field: string): boolean => ["'", '"', '`'].some((quote) => refusal.includes(quote + field + quote));

/** Learns from the reason for which a server refused a request. Returns whether another try may be answered. */
export function learn(refusal: string, learnt: Learnt): boolean {
  if (learnt.maxTokensField === 'max_tokens' && names(refusal, 'max_completion_tokens')) learnt.maxTokensField = 'max_completion_tokens';
  else if (learnt.seeds && names(refusal, 'seed')) learnt.seeds = false;
  else return false;
  return true;
}

/** What a person may do about a refusal that names a setting of sampling; empty if it names none. */
export function adviceOn(refusal: string): string {
  const [setting] = Object.entries(REQUEST_FIELDS).find(([, field]) => names(refusal, field)) ?? [];
  return setting === undefined ? '' : ` If the server does not take it, give the external model \`omit: [${setting}]\`.`;
}
