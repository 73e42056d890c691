/** Checks of a step; each returns a sentence if it fails. `plan` and `launch` run them first, and every step when it opens. */
import { canonicalJson } from '../schemas/canonical.ts';
import { embeds, isRef, refsIn, type StepCall, type ModelRef } from '../schemas/call.ts';
import type { StepContext } from '../schemas/steps.ts';
import type { ModelManifest } from '../schemas/store.ts';
import { promptIds } from './definitions.ts';
import { lacksWeights } from './external.ts';
import type { Registry } from './registry.ts';
import { castOf, isOffline, servingOf, tags } from './call-inputs.ts';
import type { Resolved } from './resolved.ts';

/** Why a step cannot open the model that it trains or embeds with; undefined: it can. */
export function lacksItsWeights(context: StepContext, call: StepCall): string | undefined {
  const models =
    call.verb === 'train'
      ? [call.inputs['from'], call.inputs['reference']].filter(isModel)
      : embeds(call)
        ? modelsIn(call.inputs['inputs'])
        : [];
  const [lack] = models.flatMap((model) => lacksWeights(context, model, call.verb === 'train' ? 'trained' : 'embedded with') ?? []);
  return lack && `Step ${call.path}: ${lack}`;
}
const isModel = (value: unknown): value is ModelRef => isRef(value) && value.kind === 'model';
const modelsIn = (inputs: unknown): ModelRef[] => refsIn(inputs).filter(isModel);

/** In the folder of a tagger: its intents. */
export const TAGGER = 'tagger.json';
export const holdsTagger = ({ files }: ModelManifest): boolean => files.some(({ name }) => name === TAGGER);

/** Why a step cannot use a model: a tagger only fits a suite for taggers and a labeler, and these take nothing else; undefined: it can. */
export async function kindMismatch(
  call: StepCall,
  registry: Registry,
  isTagger: (model: ModelRef) => boolean | Promise<boolean>,
): Promise<string | undefined> {
  const wanted = tags(call, registry);
  for (const model of modelsIn(call.inputs)) {
    if ((await isTagger(model)) === wanted) continue;
    return wanted
      ? `Step ${call.path} ${call.verb === 'map' ? 'labels' : 'evaluates'} by ${call.operation}, which is for taggers, and its model is none: train one with the objective "tagger".`
      : `Step ${call.path} uses a tagger, which only its evaluation can, and a map by a labeler alone: give it a language model, or a suite for taggers such as eval.tagging.`;
  }
  return undefined;
}

/** Why a role of a step has no model; undefined: all have one. */
export function uncast(call: StepCall, registry: Registry): string | undefined {
  const cast = castOf(call);
  const suite = call.verb === 'evaluate' && cast['model'] ? registry.suite(call.operation) : undefined;
  const rolesOf = call.verb === 'map' ? call.operation.split('>').map((id) => [id, registry.operator(id).roles] as const) : [];
  if (suite?.is === 'suite') rolesOf.push([call.operation, suite.ask.roles]);
  for (const [id, roles] of rolesOf) {
    const open = roles.filter((role) => !(role in cast));
    if (open.length > 0)
      return `Step ${call.path}: ${id} asks a model in the role ${open.map((role) => `"${role}"`).join(' and ')}, and none is cast in it: the recipe, or the evaluation in the experiment file, names one under \`with\`.`;
  }
  return undefined;
}

/** Why a prompt does not match the template that its model was trained with; undefined: it does. */
export async function templateMismatch(
  registry: Registry,
  call: StepCall,
  { params, cast }: Pick<Resolved, 'params' | 'cast'>,
  templateOf: (model: ModelRef) => Promise<string | null>,
): Promise<string | undefined> {
  const models = Object.entries(cast);
  if (models.length !== 1) return undefined; // with several models, only the operator knows which one a prompt is for
  const [[role, model]] = models as [[string, ModelRef]];
  const template = await templateOf(model);
  for (const id of promptIds(params, registry)) {
    const expected = registry.prompt(id).template;
    if (template !== null && expected !== undefined && expected !== template)
      return `Step ${call.path} asks the model in the role "${role}" by the prompt ${id}, which is for models trained with ${expected}; this one was trained with ${template}. Name a prompt of the same form.`;
  }
  return undefined;
}

/** Why one server cannot serve all stored models of a step; undefined: it can. `bases`: digests of their full weights. */
export function leaseFault(
  call: StepCall,
  context: StepContext,
  cast: Readonly<Record<string, ModelRef>>,
  bases: ReadonlySet<string>,
): string | undefined {
  const roles = Object.keys(cast);
  const servings = roles.map((role) => servingOf(context, role));
  const pools = [...new Set(servings.map((serving) => serving.pool))];
  if (pools.length > 1)
    return `Step ${call.path} casts models of the pools ${pools.join(' and ')}: a step holds one lease of one pool, so give its roles (${roles.join(', ')}) the same pool under \`roles\`.`;
  if (new Set(servings.map((serving) => canonicalJson({ ...serving, slots: 0 }))).size > 1)
    return `Step ${call.path} has one model server for its roles (${roles.join(', ')}), which \`roles\` gives different engines or options: only \`slots\` may differ.`;
  if (servings[0]?.engine === 'vllm' && bases.size > 1)
    return `Step ${call.path} casts ${bases.size} base models (${roles.join(', ')}) of the engine vllm, whose server has one: train adapters of one base, or use the engine embedded.`;
  return undefined;
}

/** Why a step cannot use a labeler, or a scorer with `batch: true`; undefined: it can, or has none. */
export function unbatched(call: StepCall, context: StepContext, registry: Registry): string | undefined {
  if (call.verb !== 'map' || isOffline(call, context, registry)) return undefined;
  const what = call.operation.split('>').find((id) => registry.operator(id).scorer?.batch || registry.operator(id).labeler);
  return (
    what &&
    `Step ${call.path} asks by ${what} for what no server gives, so it is computed as one batch: of a model of one's own, and without other operators in its chain, until, quorum and budget.`
  );
}
