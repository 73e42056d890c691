/** Collects what a plan does with its models, and checks each model once for all of it. */
import { refusalsOf, type CheckedModel } from '../devices/model-check.ts';
import type { Settings } from '../recipe/api.ts';
import { canonicalJson } from '../schemas/canonical.ts';
import { embeds, refsIn, type ModelRef, type StepCall } from '../schemas/call.ts';
import type { StepContext } from '../schemas/steps.ts';
import type { ModelUse } from '../schemas/trainer.ts';
import { castOf, isOffline, servingOf, tags } from '../steps/call-inputs.ts';
import { externalOf } from '../steps/external.ts';
import type { Registry } from '../steps/registry.ts';
import { withTrainingDefaults } from '../steps/training-defaults.ts';

/** The folders, new models and uses of a plan. A model that a step trains is checked as the one that it descends from. */
export class ModelChecks {
  readonly #models = new Map<CheckedModel, Map<string, { readonly use: ModelUse; readonly path: string }>>();

  /** `originOf`: the model from outside the store that a model descends from, if its files are here. */
  add(call: StepCall, context: StepContext, registry: Registry, originOf: (model: ModelRef) => CheckedModel | undefined): void {
    for (const { model, use } of usesOf(call, context, registry)) {
      const origin = externalOf(context, model) ? undefined : originOf(model);
      if (!origin) continue;
      const uses = this.#models.get(origin) ?? new Map();
      this.#models.set(origin, uses);
      const key = canonicalJson(use);
      if (!uses.has(key)) uses.set(key, { use, path: call.path });
    }
  }

  /** Returns a sentence for each use that the trainer would refuse. */
  async faults(): Promise<string[]> {
    const found = [...this.#models].map(async ([model, uses]) => {
      const all = [...uses.values()];
      const refusals = await refusalsOf(
        model,
        all.map(({ use }) => use),
      );
      return refusals.flatMap((refusal, at) => (refusal === null ? [] : `Step ${all[at]!.path}: ${refusal}`));
    });
    return (await Promise.all(found)).flat();
  }
}

function usesOf(call: StepCall, context: StepContext, registry: Registry): { readonly model: ModelRef; readonly use: ModelUse }[] {
  if (call.verb === 'train') {
    const settings = call.inputs as unknown as Settings & { readonly from: ModelRef; readonly reference?: ModelRef };
    const { objective, maxTokens, dropout, lora, optimizer, quantization, attention, packing, liger } = withTrainingDefaults(settings);
    const options = { optimizer, quantization, attention, packing, liger };
    const training = { model: settings.from, use: { verb: 'train', objective, maxTokens, dropout, lora, ...options } as const };
    return settings.reference ? [training, { model: settings.reference, use: { verb: 'score' } }] : [training];
  }
  if (embeds(call))
    return refsIn(call.inputs['inputs']).flatMap((ref) => (ref.kind === 'model' ? { model: ref, use: { verb: 'embed' } } : []));
  const cast = Object.entries(castOf(call));
  if (isOffline(call, context, registry))
    return tags(call, registry) ? [] : cast.map(([, model]) => ({ model, use: { verb: 'score' } }) as const);
  return cast.flatMap(([role, model]) =>
    servingOf(context, role).engine === 'embedded' ? { model, use: { verb: 'serve' } as const } : [],
  );
}
