/** Before a step's first record: does the server give what the step will need? Servers that ignore a field answer 200 all the same. */
import type { Need, Sampling } from '../recipe/define.ts';
import { BackspinError } from '../schemas/errors.ts';
import { Rejected, type Ask, type ModelClient } from './client.ts';

const messages = [{ role: 'user', content: 'Say one, two, three.' }] as const;
const sampling = { temperature: 0, maxTokens: 8 } as const satisfies Sampling;

/** Sends a model what a step with these needs will send. Throws CapabilityMissing naming the field that is refused or ignored. */
export async function probe(client: ModelClient, model: string, needs: readonly Need[], signal: AbortSignal): Promise<void> {
  for (const need of new Set(needs)) {
    const ask = { seed: 1, requestId: `probe/${need}`, signal };
    try {
      await probes[need](client, model, ask);
    } catch (error) {
      if (!(error instanceof Rejected)) throw error;
      throw new BackspinError('CapabilityMissing', `The model server cannot do what this step needs (${need}): ${error.message}`, {
        cause: error,
      });
    }
  }
}

const probes: { readonly [need in Need]: (client: ModelClient, model: string, ask: Ask) => Promise<unknown> } = {
  chat: (client, model, ask) => honoured((more) => client.chat(model, messages, { ...sampling, ...more }, ask)),
  complete: (client, model, ask) => honoured((more) => client.complete(model, { text: 'One, two,' }, { ...sampling, ...more }, ask)),
  prefill: (client, model, ask) => client.complete(model, { messages, prefill: 'One,' }, sampling, ask),
  score: (client, model, ask) => client.score(model, { text: 'One, two,' }, ' three', ask),
};

/** Every sampling field at once, and then a stop string that is surely met. */
async function honoured(ask: (more: Partial<Sampling>) => ReturnType<ModelClient['chat']>): Promise<void> {
  const { text } = (await ask({ topP: 1, topK: 0, repetitionPenalty: 1, stop: ['\u0000'] })).reply;
  const [stop] = text;
  if (stop !== undefined && (await ask({ stop: [stop] })).reply.text !== '')
    throw new BackspinError('CapabilityMissing', 'The model server ignores the field "stop".');
}
