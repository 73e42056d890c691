/** Checks before the first record of a step that the server supports what the step needs. Servers that ignore a field still answer 200. */
import type { Capability, Sampling } from '../recipe/define.ts';
import { BackspinError } from '../schemas/errors.ts';
import { Rejected, type SeededRequestOptions, type ModelClient } from './client.ts';
import { retryUnusable } from './replies.ts';

/** What a step will request. `samplings` are all ways in which it samples. */
export interface WantedCapabilities {
  readonly capabilities: readonly Capability[];
  readonly samplings: readonly Partial<Sampling>[];
}

const messages = [{ role: 'user', content: 'Name a colour and an animal.' }] as const;
/** Tokens for a structured reply. */
const LONG = 64;
const greedy = { temperature: 0, maxTokens: 8 } as const satisfies Sampling;

/** Sends a model the kinds of requests that the step will send. Throws CapabilityMissing if the server refuses or ignores a field, and
 *  names the field. */
export async function checkCapabilities(
  client: ModelClient,
  model: string,
  { capabilities, samplings }: WantedCapabilities,
  signal: AbortSignal,
): Promise<void> {
  for (const need of new Set(capabilities)) {
    const options = { seed: 1, requestId: `check/${need}`, signal };
    try {
      await checkFor[need](client, model, samplings, options);
    } catch (error) {
      if (!(error instanceof Rejected)) throw error;
      throw new BackspinError('CapabilityMissing', `The model server cannot do what this step needs (${need}): ${error.message}`, {
        cause: error,
      });
    }
  }
}

type CapabilityCheck = (
  client: ModelClient,
  model: string,
  wanted: WantedCapabilities['samplings'],
  options: SeededRequestOptions,
) => Promise<unknown>;
const checkFor: { readonly [need in Capability]: CapabilityCheck } = {
  chat: (client, model, wanted, options) =>
    checkSampling(client, wanted, options, (sampling, options) => retryUnusable(() => client.chat(model, messages, sampling, options))),
  complete: (client, model, wanted, options) =>
    checkSampling(client, wanted, options, (sampling, options) =>
      retryUnusable(() => client.complete(model, { text: 'Once upon a' }, sampling, options)),
    ),
  prefill: (client, model, _, options) => retryUnusable(() => client.complete(model, { messages, prefill: 'A' }, greedy, options)),
  async score(client, model, _, options) {
    for (const continuations of [[' three'], [' 3', ' 4']])
      await retryUnusable(() => client.score(model, { text: 'One, two,' }, continuations, options));
  },
};

/** Sends all fields of each sampling at once, then checks one by one the fields whose effect a reply shows. */
async function checkSampling(
  client: Pick<ModelClient, 'takes'>,
  samplings: WantedCapabilities['samplings'],
  options: SeededRequestOptions,
  send: (sampling: Sampling, options: SeededRequestOptions) => ReturnType<ModelClient['chat']>,
): Promise<void> {
  const text = async (more: Partial<Sampling>, seed = 1) => (await send({ ...greedy, ...more }, { ...options, seed })).reply.text;
  for (const sampling of samplings.length > 0 ? samplings : [{}])
    await text({ ...sampling, ...(sampling.schema === true && { schema: oddSchema }), maxTokens: fewTokens(sampling) });
  const combined = Object.assign({}, ...samplings) as Partial<Sampling>;
  if (combined.stop && client.takes('stop')) {
    const [first] = await text({});
    if (first !== undefined && (await text({ stop: [first] })) !== '') throw ignoredField('stop');
  }
  // With so narrow a choice only one token can come next, whatever the seed is.
  for (const [field, narrow] of Object.entries({ topP: 1e-3, topK: 1 })) {
    if (!(field in combined) || !client.takes(field as keyof Sampling)) continue;
    const narrowed = { temperature: 1, [field]: narrow };
    if ((await text(narrowed, 1)) !== (await text(narrowed, 2))) throw ignoredField(field);
  }
  if (combined.choice && client.takes('choice') && !odd.includes(await text({ choice: odd, maxTokens: LONG })))
    throw ignoredField('choice');
  if (combined.schema && client.takes('schema') && !isOdd(await text({ schema: oddSchema, maxTokens: LONG }))) throw ignoredField('schema');
}

/** A server refuses fewer tokens than its field `min_tokens` says. */
const fewTokens = ({ extra }: Partial<Sampling>): number => Math.max(greedy.maxTokens, Number(extra?.['min_tokens']) || 0);

/** What no model writes by itself. */
const odd = ['backspin-quince', 'backspin-yak'];
const oddSchema = { type: 'object', properties: { odd: { type: 'string', enum: odd } }, required: ['odd'], additionalProperties: false };
/** Whether a text is, or begins, JSON of that schema: a small model may fill the reply with the white space that JSON allows. */
const isOdd = (text: string): boolean => {
  const bare = text.replaceAll(/\s/g, '');
  return bare !== '' && odd.some((one) => `{"odd":"${one}"}`.startsWith(bare));
};

const ignoredField = (field: string) => new BackspinError('CapabilityMissing', `The model server ignores the field "${field}".`);
