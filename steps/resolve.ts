/** Resolves a call to a step: definitions, checked parameters, versions, files, key and determinism. */
import { engineIdentity, repeats } from '../devices/engines/index.ts';
import { embeds, refsIn, type StepCall } from '../schemas/call.ts';
import type { StepContext } from '../schemas/steps.ts';
import type { Determinism } from '../schemas/store.ts';
import type { SubprocessVerb } from '../schemas/trainer.ts';
import { castOf, isOffline, isStochastic, operatorCalls, servingOf } from './call-inputs.ts';
import { definedBy, promptIds } from './definitions.ts';
import { externalOf } from './external.ts';
import { fileDigests } from './input-files.ts';
import { keyOf, type KeyInputs } from './key.ts';
import { computing, machineOf, repeatsOn, type Machine } from './machine.ts';
import type { Registry } from './registry.ts';
import type { Link, Resolved } from './resolved.ts';

/** `machine` describes the home whose workers perform the step. */
export async function resolve(call: StepCall, context: StepContext, registry: Registry, machine: Machine = machineOf()): Promise<Resolved> {
  const defined = definedBy(call, registry);
  const { params, versions, sources } = defined;
  const cast = castOf(call);
  const offline = isOffline(call, context, registry);
  const operators = operatorCalls(call, registry);
  const subprocess = subprocessOf(call, offline);
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

function subprocessOf(call: StepCall, offline: boolean): SubprocessVerb | undefined {
  if (call.verb === 'train') return 'train';
  if (embeds(call)) return 'embed';
  if (!offline) return undefined;
  return call.verb === 'evaluate' ? 'tag' : 'score';
}

const chainOf = (inputs: KeyInputs): Link[] =>
  inputs.operators.map(({ operator, params }, i) => ({
    operator,
    operation: inputs.operators
      .slice(0, i + 1)
      .map(({ id }) => id)
      .join('>'),
    stepKey: keyOf(inputs, i + 1),
    params,
    prompts: promptIds(params, inputs.registry),
  }));

/** Role -> everything about its server that replies depend on, apart from the model and the request. */
async function enginesOf(cast: Resolved['cast'], context: StepContext, machine: Machine): Promise<Record<string, unknown>> {
  const engines: Record<string, unknown> = {};
  for (const [role, model] of Object.entries(cast)) {
    const serving = servingOf(context, role);
    if (externalOf(context, model)) engines[role] = 'external';
    else if (serving.engine !== 'embedded') engines[role] = engineIdentity(serving);
    else engines[role] = { engine: engineIdentity(serving), server: await machine.trainer('serve') };
  }
  return engines;
}

const serversRepeat = (cast: Resolved['cast'], context: StepContext): boolean =>
  Object.entries(cast).every(([role, model]) => !externalOf(context, model) && repeats(servingOf(context, role)));
