// What the compiler must refuse. Each expectation fails the build when the interface stops refusing it.
import {
  chain,
  operators,
  select,
  type Chat,
  type Completion,
  type Dataset,
  type Model,
  type Op,
  type Report,
  type Run,
  type Settings,
  type Suite,
  type Tagged,
  type Template,
} from '../../../recipe/index.ts';
import type { Judged, Pair, Segment } from '../../../operators/humpback/records.ts';
declare const run: Run, sft: Settings, tag: Settings<'tagger'>, kto: Settings<'kto'>, base: Model, encoder: Model<'encoder'>;
declare const segments: Dataset<Segment>, pairs: Dataset<Pair>, judged: Promise<Dataset<Judged>>;
const { backtranslate, judge, trim, limited, forward } = operators<{
  backtranslate: Op<Segment, Pair, 'backward'>;
  judge: Op<Pair, Judged, 'scorer'>;
  trim: Op<Pair, Pair>;
  limited: Op<Pair, Pair, never, { limit: number }>;
  forward: Template<Pair, Chat>;
}>('checks');
declare const lmSuite: Suite<'lm', { accuracy: number }>;
const real = operators<typeof import('../../../operators/humpback/index.ts')>('humpback');
const params = { prompt: 'humpback.backward', sampling: { temperature: 0, maxTokens: 8 } };

void run.map(trim, pairs); // no role, no parameter: no options
void run.map(trim, judged); // a wider record may enter
const out: Promise<Dataset<Judged>> = run.map(chain(backtranslate, judge), segments, {
  with: { backward: base, scorer: run.train('s', { ...sft, from: base, data: pairs, template: forward }) },
});
void out;
// @ts-expect-error a role without a model
void run.map(judge, pairs, { with: {} });
// @ts-expect-error no options although a role is used
void run.map(judge, pairs);
// @ts-expect-error a role the operator does not use
void run.map(judge, pairs, { with: { scorer: base, extender: base } });
// @ts-expect-error an encoder cannot chat
void run.map(judge, pairs, { with: { scorer: encoder } });
// @ts-expect-error the chain needs both roles
void run.map(chain(backtranslate, judge), segments, { with: { backward: base } });
// @ts-expect-error operators that do not fit
chain(judge, backtranslate);
// @ts-expect-error records that do not fit
void run.map(judge, segments, { with: { scorer: base } });
// @ts-expect-error a parameter is missing
void run.map(limited, pairs, {});
// @ts-expect-error there is no such field to select on
select(judged, { where: { scores: 5 } });
// @ts-expect-error one ranks by numbers
select(judged, { best: { by: 'instruction', order: 'lowest' } });
// @ts-expect-error a tagger starts from an encoder
void run.train('t', { ...tag, from: base, data: pairs as never });
// @ts-expect-error pairs are not chats: a template is needed
void run.train('t', { ...sft, from: base, data: pairs });
declare const completions: Dataset<Completion>;
void run.train('t', { ...kto, from: base, data: completions, reference: base });
// @ts-expect-error a conversation is no completion with a label
void run.train('t', { ...kto, from: base, data: null as unknown as Dataset<Chat> });
// @ts-expect-error a tagger is not evaluated as a chat model
void run.evaluate(run.train('t', { ...tag, from: encoder, data: pairs as never }), lmSuite);
// @ts-expect-error data cannot be seen, so it cannot be branched on
if (segments.rows > 10) run.rounds(1);

// The same of definitions, which are known here by their types alone.
void run.map(real.backtranslate, segments, { with: { backward: base }, params });
void run.evaluate(pairs, real.pairs);
// @ts-expect-error a role of another name
void run.map(real.backtranslate, segments, { with: { scorer: base }, params });
// @ts-expect-error a parameter of another type
void run.map(real.backtranslate, segments, { with: { backward: base }, params: { ...params, prompt: 1 } });
// @ts-expect-error records that do not fit
void run.map(real.withinLength, pairs, { params: { instructionChars: { min: 1, max: 2 } } });
// @ts-expect-error a prompt is not an operator
void run.map(real.curation, pairs);
// @ts-expect-error segments are not the pairs that this suite measures
void run.evaluate(segments, real.pairs);
// @ts-expect-error a template that needs the part that `mix` gives
void run.train('t', { ...sft, from: base, data: pairs, template: real.toResponse });

// A suite for taggers takes a tagger, and sentences with labels.
const evaluation = operators<typeof import('../../../operators/eval/index.ts')>('eval');
declare const sentences: Dataset<Tagged>;
const tagger = run.train('t', { ...tag, from: encoder, data: sentences });
const tagged: Promise<Report<{ intentAccuracy: number; slotF1: number }>> = run.evaluate(tagger, evaluation.tagging, {
  params: { test: sentences, intent: 'play' },
});
void tagged;
// @ts-expect-error a language model is no tagger
void run.evaluate(base, evaluation.tagging, { params: { test: sentences } });
// @ts-expect-error an encoder is none yet
void run.evaluate(encoder, evaluation.tagging, { params: { test: sentences } });
// @ts-expect-error a tagger is no language model
void run.evaluate(tagger, lmSuite);
// @ts-expect-error pairs are no sentences
void run.evaluate(tagger, evaluation.tagging, { params: { test: pairs } });

// A filter gives back the type of record that it is given, whatever that holds beside what it reads.
const musc = operators<typeof import('../../../operators/musc/index.ts')>('musc');
const capped: Promise<Dataset<Judged>> = run.reduce(musc.capTopics({ of: judged }, { perTopic: 1 }));
void capped;
// @ts-expect-error segments have no instruction to be read
musc.capTopics({ of: segments }, { perTopic: 1 });
