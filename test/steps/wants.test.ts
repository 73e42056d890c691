/** What a step's models are tried with before its first record. */
import test from 'ava';
import { wantedCapabilities } from '../../steps/evaluate.ts';
import type { Resolved } from '../../steps/resolved.ts';
import { registryOf } from '../support/keys.ts';

const registry = await registryOf();

const cool = { temperature: 0, maxTokens: 8 };
const warm = { temperature: 1, topK: 40, maxTokens: 8 };
const chainOf = (...links: readonly (readonly [id: string, params: object])[]) =>
  ({
    call: { verb: 'map', what: links.map(([id]) => id).join('>') },
    chain: links.map(([id, params]) => ({ operator: registry.operator(id), params })),
  }) as unknown as Resolved;

test('each model is tried with the sampling of its roles, by whatever operator of the chain', (t) => {
  const refine = chainOf(['air.refine', { sampling: { guidance: warm, student: cool } }]);
  t.deepEqual(wantedCapabilities(refine, registry, ['student']).samplings, [cool]);
  t.deepEqual(wantedCapabilities(refine, registry, ['guidance', 'student']).samplings, [warm, cool]);
  t.deepEqual(wantedCapabilities(chainOf(['air.merge', { sampling: { merge: warm } }]), registry, ['guidance']).samplings, [warm]);
  const chain = chainOf(['humpback.withinLength', {}], ['humpback.backtranslate', { sampling: warm }]);
  t.deepEqual(wantedCapabilities(chain, registry, ['backward']), { capabilities: ['chat'], samplings: [warm] });
  t.deepEqual(wantedCapabilities(chain, registry, ['judge']), { capabilities: [], samplings: [] });
});
