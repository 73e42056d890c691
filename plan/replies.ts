/** Says at plan which settings of sampling the server of a role will not get. */
import { structuredBy } from '../devices/engines/index.ts';
import { takes, type Dialect } from '../inference/fields.ts';
import type { Sampling } from '../recipe/define.ts';
import type { StepCall } from '../schemas/call.ts';
import type { StepContext } from '../schemas/steps.ts';
import { castOf, isOffline, servingOf } from '../steps/call-inputs.ts';
import { askingOperators, samplingsOf } from '../steps/evaluate.ts';
import { externalOf } from '../steps/external.ts';
import type { Registry } from '../steps/registry.ts';

/** Returns a sentence for each role of a step and each setting. Steps of other rounds give equal ones. */
export function settingsLeftOut(call: StepCall, context: StepContext, registry: Registry): string[] {
  if (isOffline(call, context, registry)) return [];
  const operators = askingOperators(call, registry);
  return Object.entries(castOf(call)).flatMap(([role, model]) => {
    const { structured, omit, ...server } = externalOf(context, model) ?? {};
    const own = servingOf(context, role);
    const name = 'url' in server ? `the server ${server.url}` : `the engine ${own.engine}`;
    const dialect: Dialect =
      'url' in server ? { ...(structured && { structured }), ...(omit && { omit }) } : { structured: structuredBy(own) };
    const settings = new Set(operators.flatMap((one) => samplingsOf(one, [role]).flatMap((sampling) => Object.keys(sampling))));
    const leftOut = ([...settings] as (keyof Sampling)[]).filter((setting) => !takes(setting, dialect));
    return leftOut.map((setting) => `role "${role}": ${name} ${reasonFor(setting, 'url' in server)}`);
  });
}

function reasonFor(setting: keyof Sampling, isExternal: boolean): string {
  if (setting !== 'choice' && setting !== 'schema') return `gets no ${setting}, which its \`omit\` names: its own applies`;
  const remedy = isExternal ? ' (if it has them, give the external model `structured`)' : '';
  return `has no structured outputs for \`${setting}\`${remedy}: replies come as the model writes them, and one that cannot be read is dropped`;
}
