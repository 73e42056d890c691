/** Resolves a call to a step: definitions, checked parameters, versions, files, key and determinism. */
import { engineIdentity, repeats } from '../devices/engines/index.ts';
import { embeds, refsIn, type StepCall } from '../schemas/call.ts';
import { canonicalJson } from '../schemas/canonical.ts';
import type { External } from '../schemas/external.ts';
import type { StepContext } from '../schemas/steps.ts';
import type { Determinism } from '../schemas/store.ts';
import type { SubprocessVerb } from '../schemas/trainer.ts';
import { castOf, isOffline, isStochastic, operatorCalls, servingOf, tags } from './call-inputs.ts';
import { definedBy, promptIds } from './definitions.ts';
import { externalOf } from './external.ts';
import { fileDigests } from './input-files.ts';
import { keyOf, type KeyInputs } from './key.ts';
import { computing, machineOf, repeatsOn, type Machine } from './machine.ts';
import type { Registry } from './registry.ts';
import type { Resolved, StoredLink } from './resolved.ts';

/** `machine` describes the home whose workers perform the step. */
export async function resolve(call: StepCall, context: StepContext, registry: Registry, machine: Machine = machineOf()): Promise<Resolved> {
  await machine.learn(context.training.pool);
  const defined = definedBy(call, registry);
  const { params, versions, sources } = defined;
  const cast = castOf(call);
  const offline = isOffline(call, context, registry);
  const operators = operatorCalls(call, registry);
  const subprocess = subprocessOf(call, offline, registry);
  const files = await fileDigests(call, registry, params, machine);
  const inputs: KeyInputs = {
    call,
    context,
    registry,
    defined,
    operators,
    cast,
    files,
    computing: subprocess && (await computing(machine, subprocess, context.training)),
    engines: offline ? {} : await enginesOf(cast, context, machine),
  };
  const repeatable = subprocess ? repeatsOn(machine, subprocess, context.training) : serversRepeat(cast, context);
  const seeded = call.verb === 'train' || isStochastic(call, registry, params, operators);
  const determinism: Determinism = !repeatable ? 'sampled' : seeded ? 'seeded' : 'exact';
  return {
    call,
    experiment: context.experiment,
    stepKey: keyOf(inputs),
    registry,
    params,
    versions,
    sources,
    inputs: [...new Set(refsIn(call.inputs).map((ref) => ref.digest))].sort(),
    determinism,
    chain: chainOf(inputs),
    cast,
    offline,
    files,
  };
}

function subprocessOf(call: StepCall, offline: boolean, registry: Registry): SubprocessVerb | undefined {
  if (call.verb === 'train') return 'train';
  if (embeds(call)) return 'embed';
  if (!offline) return undefined;
  return tags(call, registry) ? 'tag' : 'score';
}

const chainOf = (inputs: KeyInputs): StoredLink[] =>
  inputs.operators.map(({ operator, params }, i) => {
    const { call, registry } = inputs;
    const operation = inputs.operators
      .slice(0, i + 1)
      .map(({ id }) => id)
      .join('>');
    const { versions, sources } = definedBy({ ...call, operation }, registry);
    return { operator, operation, stepKey: keyOf(inputs, i + 1), versions, sources, params, prompts: promptIds(params, registry) };
  });

/** Role -> everything about its server that replies depend on, apart from the model and the request. */
async function enginesOf(cast: Resolved['cast'], context: StepContext, machine: Machine): Promise<Record<string, unknown>> {
  const engines: Record<string, unknown> = {};
  for (const [role, model] of Object.entries(cast)) {
    const serving = servingOf(context, role);
    const external = externalOf(context, model);
    if (external) engines[role] = externalIdentity(external);
    else if (serving.engine !== 'embedded') engines[role] = engineIdentity(serving);
    else engines[role] = { engine: engineIdentity(serving), server: await machine.trainer('serve') };
  }
  return engines;
}

/** Where the server gets requests with other fields, it gives other replies. */
function externalIdentity({ structured, omit = [] }: External): string {
  const changed = { ...(structured && { structured }), ...(omit.length > 0 && { omit: [...omit].sort() }) };
  return `external${Object.keys(changed).length === 0 ? '' : ` ${canonicalJson(changed)}`}`;
}

const serversRepeat = (cast: Resolved['cast'], context: StepContext): boolean =>
  Object.entries(cast).every(([role, model]) => !externalOf(context, model) && repeats(servingOf(context, role)));
