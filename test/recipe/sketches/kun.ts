// Kun: answer polishment for Chinese self-alignment with instruction back-translation (2401.06477; release code).
import {
  chain,
  operators,
  type Chat,
  type Dataset,
  type Model,
  type Op,
  type Recipe,
  type Settings,
  type Template,
} from '../../../recipe/index.ts';
import type { Pair, Segment } from '../../../operators/humpback/records.ts';

const { fits, label, plain, point, polish, clean, toInstruction, toResponse } = operators<{
  fits: Op<Segment, Segment>; // at most 512 tokens, perplexity and length
  label: Op<Segment, Pair, 'label'>; // x̂ from y
  plain: Op<Pair, Pair>; // K1: no word that points at unseen material
  point: Op<Pair, Pair, 'point'>; // sees x̂ only; the good mark without the bad one
  polish: Op<Pair, Pair, 'answer'>; // y' from y and x̂; y stays attached
  clean: Op<Pair, Pair>; // K3: keywords, length, repetition
  toInstruction: Template<Pair, Chat>;
  toResponse: Template<Pair, Chat>;
}>('kun');

export interface KunConfig {
  readonly base: Model;
  readonly seed: Dataset<Pair>;
  readonly texts: Dataset<Segment>;
  readonly labelSft: Settings;
  readonly chatSft: Settings;
  readonly finalFrom: 'primary' | 'base';
}

export const kun: Recipe<KunConfig, { model: Model; data: Dataset<Pair> }> = async (
  run,
  { base, seed, texts, labelSft, chatSft, finalFrom },
) => {
  const labeller = run.train('label', { ...labelSft, from: base, data: seed, template: toInstruction });
  const primary = run.train('primary-chat', { ...chatSft, from: base, data: seed, template: toResponse });

  const labelled = run.map(chain(fits, label, plain), texts, { with: { label: labeller } });
  const polished = run.map(chain(point, polish), labelled, { with: { point: primary, answer: primary } });
  const data = await run.map(clean, polished);

  const model = await run.train('final-chat', { ...chatSft, from: finalFrom === 'base' ? base : primary, data, template: toResponse });
  return { model, data };
};
