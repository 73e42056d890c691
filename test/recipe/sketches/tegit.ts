// TeGit / DoG-Instruct: text-grounded task design (2309.05447).
import {
  dedup,
  operators,
  without,
  type Chat,
  type Dataset,
  type Model,
  type Op,
  type Recipe,
  type Settings,
  type Template,
} from '../../../recipe/index.ts';
import type { Segment } from '../../../operators/humpback/records.ts';

export interface Triple {
  readonly text: string;
  readonly instruction: string;
  readonly input: string;
  readonly output: string;
  readonly grounding: number;
}

const { design, wrap, discriminate, toTriple, toOutput } = operators<{
  design: Op<Segment, Triple, 'teacher'>; // Ω: one task from the document, checked
  wrap: Op<Segment, Triple, 'wrapper'>; // greedy; three marked fields, meta-prompt echo dropped, grounding recorded
  discriminate: Op<Triple, Triple, 'discriminator'>;
  toTriple: Template<Triple, Chat>; // document -> marked triple
  toOutput: Template<Triple, Chat>; // instruction and input -> output
}>('tegit');

export interface TegitConfig {
  readonly base: Model;
  readonly student: Model;
  readonly teacher: Model;
  readonly discriminator?: Model;
  readonly meta: Dataset<Segment>;
  readonly documents: Dataset<Segment>;
  readonly sft: Settings;
}

export const tegit: Recipe<TegitConfig, { model: Model; data: Dataset<Triple> }> = async (run, config) => {
  const { base, student, teacher, discriminator, sft } = config;
  const omega = run.map(design, config.meta, { with: { teacher } });
  const wrapper = run.train('wrapper', { ...sft, from: base, data: omega, template: toTriple });

  const unseen = run.reduce(without(config.documents, config.meta, 'text'));
  const wrapped = run.map(wrap, unseen, { with: { wrapper } });
  const valid = discriminator ? run.map(discriminate, wrapped, { with: { discriminator } }) : wrapped;
  const data = await run.reduce(dedup(valid, { on: 'instruction', jaccard: 0.7 }));

  return { model: await run.train('student', { ...sft, from: student, data, template: toOutput }), data };
};
