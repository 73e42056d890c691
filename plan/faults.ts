/** Checks a planned step without reading records, and returns a sentence for each fault. */
import type { StepCall } from '../schemas/call.ts';
import type { StepContext } from '../schemas/steps.ts';
import { castOf, isOffline, servingOf } from '../steps/call-inputs.ts';
import { kindMismatch, leaseFault, templateMismatch, unbatched, uncast } from '../steps/checks.ts';
import { checkParams } from '../steps/definitions.ts';
import { askingOperators, samplingsOf } from '../steps/evaluate.ts';
import { ownOf } from '../steps/external.ts';
import type { Registry } from '../steps/registry.ts';
import type { PlannedModels } from './models.ts';

/** `known`: the step is in the store. */
export async function faultsIn(
  call: StepCall,
  known: boolean,
  context: StepContext,
  registry: Registry,
  models: PlannedModels,
): Promise<string[]> {
  const asked = { params: checkParams(call, registry), cast: castOf(call) };
  const own = ownOf(context, asked.cast);
  const offline = isOffline(call, context, registry);
  const bases = new Set(Object.values(own).map((model) => models.baseOf(model)));
  const faults = [
    known ? undefined : uncast(call, registry),
    known ? undefined : await templateMismatch(registry, call, asked, (model) => models.templateOf(model)),
    known || offline ? undefined : leaseFault(call, context, own, bases),
    unbatched(call, context, registry),
    known ? undefined : unstructured(call, registry),
    known || offline ? undefined : extraOfEmbedded(call, context, own, registry),
    await kindMismatch(call, registry, (model) => models.isTagger(model)),
  ];
  if (!offline)
    for (const [role, model] of Object.entries(own))
      if (servingOf(context, role).engine === 'embedded') faults.push(models.unsupported(model));
  return faults.filter((fault) => fault !== undefined);
}

/** Fields of a request that the embedded engine would refuse: it takes none but those that settings of sampling have. */
function extraOfEmbedded(
  call: StepCall,
  context: StepContext,
  own: Readonly<Record<string, unknown>>,
  registry: Registry,
): string | undefined {
  for (const role of Object.keys(own)) {
    if (servingOf(context, role).engine !== 'embedded') continue;
    const samplings = askingOperators(call, registry).flatMap((one) => samplingsOf(one, [role]));
    const fields = [...new Set(samplings.flatMap(({ extra = {} }) => Object.keys(extra)))];
    if (fields.length > 0)
      return `Step ${call.path} samples with ${fields.join(', ')}, which the engine embedded does not take: leave it out, or give the role "${role}" the engine vllm.`;
  }
  return undefined;
}

/** Operators without a schema of their own whose sampling asks for it. */
function unstructured(call: StepCall, registry: Registry): string | undefined {
  const asking = askingOperators(call, registry).filter(
    (one) => !one.operator.structured && samplingsOf(one, one.operator.roles).some(({ schema }) => schema === true),
  );
  return asking.length === 0
    ? undefined
    : `Step ${call.path} samples with \`schema: true\`, and ${call.operation} has no schema by which it reads replies: write a JSON Schema in its place, or leave \`schema\` out.`;
}
