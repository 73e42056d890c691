/** Before a step's first record: does the server give what the step will need? Servers that ignore a field answer 200 all the same. */
import type { Capability, Sampling } from '../recipe/define.ts';
import { BackspinError } from '../schemas/errors.ts';
import { Rejected, type Ask, type ModelClient } from './client.ts';
import { askedAgain } from './replies.ts';

/** What a step will ask for, sampled in these ways. */
export interface WantedCapabilities {
  readonly capabilities: readonly Capability[];
  readonly samplings: readonly Partial<Sampling>[];
}

const messages = [{ role: 'user', content: 'Name a colour and an animal.' }] as const;
const greedy = { temperature: 0, maxTokens: 8 } as const satisfies Sampling;

/** Sends a model what a step with these wants will send. Throws CapabilityMissing naming the field that is refused or ignored. */
export async function checkCapabilities(
  client: ModelClient,
  model: string,
  { capabilities, samplings }: WantedCapabilities,
  signal: AbortSignal,
): Promise<void> {
  for (const need of new Set(capabilities)) {
    const ask = { seed: 1, requestId: `check/${need}`, signal };
    try {
      await checks[need](client, model, samplings, ask);
    } catch (error) {
      if (!(error instanceof Rejected)) throw error;
      throw new BackspinError('CapabilityMissing', `The model server cannot do what this step needs (${need}): ${error.message}`, {
        cause: error,
      });
    }
  }
}

type CapabilityCheck = (client: ModelClient, model: string, wanted: WantedCapabilities['samplings'], ask: Ask) => Promise<unknown>;
const checks: { readonly [need in Capability]: CapabilityCheck } = {
  chat: (client, model, wanted, ask) =>
    honoured(wanted, ask, (sampling, ask) => askedAgain(() => client.chat(model, messages, sampling, ask))),
  complete: (client, model, wanted, ask) =>
    honoured(wanted, ask, (sampling, ask) => askedAgain(() => client.complete(model, { text: 'Once upon a' }, sampling, ask))),
  prefill: (client, model, _, ask) => askedAgain(() => client.complete(model, { messages, prefill: 'A' }, greedy, ask)),
  async score(client, model, _, ask) {
    for (const continuations of [[' three'], [' 3', ' 4']])
      await askedAgain(() => client.score(model, { text: 'One, two,' }, continuations, ask));
  },
};

/** All fields of each way at once; then, of those that can be told from the reply, each by itself. */
async function honoured(
  samplings: WantedCapabilities['samplings'],
  ask: Ask,
  say: (sampling: Sampling, ask: Ask) => ReturnType<ModelClient['chat']>,
): Promise<void> {
  const text = async (more: Partial<Sampling>, seed = 1) => (await say({ ...greedy, ...more }, { ...ask, seed })).reply.text;
  for (const sampling of samplings.length > 0 ? samplings : [{}]) await text({ ...sampling, maxTokens: greedy.maxTokens });
  const wanted = Object.assign({}, ...samplings) as Partial<Sampling>;
  if (wanted.stop) {
    const [first] = await text({});
    if (first !== undefined && (await text({ stop: [first] })) !== '') throw ignored('stop');
  }
  // So narrow a choice is none: whatever the seed, one token can come next.
  for (const [field, narrow] of Object.entries({ topP: 1e-3, topK: 1 })) {
    if (!(field in wanted)) continue;
    const narrowed = { temperature: 1, [field]: narrow };
    if ((await text(narrowed, 1)) !== (await text(narrowed, 2))) throw ignored(field);
  }
}

const ignored = (field: string) => new BackspinError('CapabilityMissing', `The model server ignores the field "${field}".`);
