/** What makes each recipe's experiment file small, and for what reasons its operators may drop a record. */
import { join } from 'node:path';
import { root } from '../cli/cli.ts';
import type { RealRecipe } from './support.ts';

/** Sections of the Markdown of two installed packages. */
const readmes = {
  source: 'std.documents',
  params: {
    path: ['ava/readme.md', 'zod/README.md'].map((file) => join(root, 'node_modules', file)),
    minChars: 200,
    maxChars: 500,
    navigation: ['documentation', 'related', 'links', 'team', 'former'],
  },
};
/** A paragraph at most, since the model likes to go on. */
const brief = (maxTokens: number) => ({ temperature: 0.7, topP: 0.9, maxTokens, stop: ['\n'] });
const free = (maxTokens: number) => ({ temperature: 0.7, topP: 0.9, maxTokens });
/** An adapter, trained for a few steps: most of the time goes into trainings. */
const few = (training: string, steps = 4) => ({
  [`${training}.learningRate`]: 1e-3,
  [`${training}.length`]: { steps },
  [`${training}.batch`]: 2,
  [`${training}.maxTokens`]: 512,
  [`${training}.lora`]: { rank: 16, alpha: 32 },
});
/** Relative to `data/`. */
const seed = '../../../examples/smollm2/seed.jsonl';
const reply = ['empty', 'truncated'];

export const recipes: Readonly<Record<string, RealRecipe>> = {
  humpback: {
    files: { 'seed.jsonl': seed },
    models: ['base'],
    sets: {
      'parameters.judgeCheck.pairs': 4,
      'data.seed.params': { path: 'humpback/seed.jsonl' },
      'data.corpus': readmes,
      'evaluation.forward.params': { instructions: ['Why do cats purr?', 'How do I clean a keyboard?'], sampling: brief(64) },
      'parameters.rounds': 1,
      'parameters.arms': [],
      'parameters.judge': 'expected',
      'parameters.keep': { share: 0.5 },
      'parameters.minimum': 1,
      'parameters.sampling.backtranslate': free(48),
      ...few('parameters.sft'),
    },
    drops: [...reply, 'no-score', 'short-instruction', 'long-instruction'],
  },
  main: {
    files: { 'seed.jsonl': seed },
    models: ['base'],
    sets: {
      'parameters.judgeCheck.pairs': 4,
      'data.corpus': readmes,
      'parameters.rounds': 1,
      'parameters.keep.share': 0.75,
      'parameters.minimum': 1,
      'parameters.sampling': { imagine: brief(64), augment: free(48) },
      ...few('parameters.sft'),
    },
    drops: reply,
  },
  'cycle-instruct': {
    files: { 'pairs.jsonl': seed },
    models: ['base'],
    sets: {
      'parameters.judgeCheck.pairs': 4,
      data: { pairs: { source: 'std.table', params: { path: 'cycle-instruct/pairs.jsonl' } } },
      'parameters.rounds': 1,
      'parameters.minimum': 1,
      'parameters.filter': { clusters: 2, share: 0.25 },
      'parameters.prompts': { baseAnswer: 'cycle-instruct.answer', baseAsk: 'cycle-instruct.ask' },
      'parameters.sampling': { base: brief(64), generate: brief(64) },
      ...few('parameters.sft'),
    },
    drops: reply,
  },
  musc: {
    files: { 'queries.jsonl': 'queries.jsonl', 'demos.jsonl': 'demos.jsonl' },
    models: ['policy'],
    sets: {
      'parameters.arms': [],
      'parameters.selfMade': 4, // of which the model may spoil all
      'parameters.minimum': 1,
      'parameters.sampling': { decompose: { temperature: 0.1, maxTokens: 96 }, invent: free(128), respond: brief(64) },
      ...few('parameters.dpo', 3),
    },
    drops: [...reply, 'no-constraints', 'no-instruction', 'no-task', 'same', 'equal'],
  },
  'back-and-forth': {
    files: { 'seed.jsonl': seed },
    models: ['base', 'student', 'rewriter'],
    sets: {
      'parameters.judgeCheck.pairs': 4,
      'data.documents': readmes,
      evaluation: {
        forward: {
          suite: 'back-and-forth.winRate',
          with: { judge: 'rewriter' },
          params: { items: [{ instruction: 'Why do cats purr?', reference: 'Because they are content.' }], sampling: brief(48) },
        },
      },
      'parameters.arms': ['both', 'distil'],
      'parameters.size': 8,
      'parameters.minimum': 1,
      'parameters.judge': 'expected',
      'parameters.keep': { share: 0.75 },
      'parameters.attempts.rewrite': 3,
      'parameters.steps': [4],
      'parameters.pickBest': null,
      'parameters.prompts.rewrite': 'back-and-forth.rewritingShown',
      'parameters.sampling': { backtranslate: free(48), judge: free(64), rewrite: free(192) },
      ...few('parameters.seedSft'),
      'parameters.sft.batch': 2,
      'parameters.sft.maxTokens': 512,
      'parameters.sft.lora': { rank: 16, alpha: 32 },
    },
    drops: [...reply, 'no-score', 'no-markers', 'no-end-marker', 'several-markers'],
  },
  kun: {
    files: { 'seed.jsonl': seed },
    models: ['base'],
    sets: {
      'parameters.judgeCheck.pairs': 4,
      'data.texts': readmes,
      'parameters.minimum': 1,
      'parameters.arms': [],
      'parameters.templates': { toInstruction: 'kun.toInstructionEnglish' },
      'parameters.prompts': { label: 'kun.labellingEnglish', point: 'kun.pointingEnglish', polish: 'kun.polishingEnglish' },
      'parameters.sampling': { label: free(48), point: brief(16), polish: brief(96) },
      ...few('parameters.labelSft', 8),
      ...few('parameters.chatSft', 8),
    },
    drops: [...reply, 'repeated-lines', 'keyword', 'no-verdict', 'bad', 'too-long', 'short', 'repetitive'],
  },
  tegit: {
    files: { 'meta.jsonl': 'meta.jsonl' },
    models: ['base'],
    sets: {
      'data.documents': readmes,
      'parameters.minimum': 1,
      'parameters.arms': [],
      'parameters.sampling': { wrap: { temperature: 0, maxTokens: 128 } },
      ...few('parameters.sft', 8),
      'parameters.wrapperSft.length': { steps: 24 }, // it must learn three fields
    },
    drops: [...reply, 'no-fields', 'marker', 'empty-field', 'echo'],
  },
  air: {
    files: {},
    models: ['guidance', 'student', 'encoder'],
    sets: {
      'serving.maxModelLength': 2048, // a comparison shows document, instruction and answer, beside examples
      'parameters.judgeCheck.pairs': 4,
      'data.documents': { ...readmes, params: { ...readmes.params, maxChars: 600 } },
      'parameters.arms': [],
      'parameters.words.min': 20,
      'parameters.pick': 12,
      'parameters.minScore': 0,
      'parameters.iterations': 2,
      'parameters.levels': [1],
      'parameters.minimum': 1,
      'parameters.sampling': { guidance: free(224), student: brief(64), merge: brief(64) },
      ...few('parameters.sft'),
    },
    drops: [...reply, 'short', 'no-instruction', 'instruction-length', 'no-score', 'too-few-constraints', 'merged-length'],
  },
  'self-lengthen': {
    files: { 'seeds.jsonl': 'long.jsonl' },
    models: ['base'],
    sets: {
      'evaluation.length.params': {
        items: [{ instruction: 'Describe a busy market in about 40 words.', demand: { about: 40 } }],
        sampling: free(96),
      },
      'evaluation.quality.params': {
        items: [{ instruction: 'Describe a busy market in one sentence.' }],
        sampling: { respond: free(96), judge: { temperature: 0, maxTokens: 96 } },
      },
      'parameters.rounds': 1,
      'parameters.perRound': 4,
      'parameters.collect': 2,
      'parameters.quorum': 1,
      'parameters.attempts': { propose: 6, write: 3, extend: 3, demand: 3 },
      'parameters.extension.iterations': 1,
      'parameters.extension.gain': 1,
      'parameters.lengthBias.scale': 0,
      'parameters.keepWords': { min: 1, max: 2000 },
      'parameters.minimum': 1,
      'parameters.sampling': {
        propose: { ...brief(48), stop: ['\n'] },
        judge: { temperature: 0.7, maxTokens: 8, choice: ['Yes', 'No'] }, // the model would go on to explain
        // A paragraph at most.
        write: { ...free(256), stop: ['\n\n'] },
        extend: { ...free(256), stop: ['\n\n'] },
        demand: brief(64),
      },
      ...few('parameters.sft'),
    },
    drops: [...reply, 'instruction-length', 'no-verdict', 'unsuitable', 'no-end', 'about-itself', 'repetition', 'not-longer', 'no-demand'],
  },
  crab: {
    files: { 'pairs.jsonl': seed },
    models: ['annotator', 'base'],
    sets: {
      'parameters.judgeCheck.pairs': 4,
      data: { pairs: { source: 'std.table', params: { path: 'crab/pairs.jsonl', limit: 6 } } },
      evaluation: { data: { suite: 'crab.annotated' } },
      'parameters.arms': [],
      'parameters.seeds.minWords': 0,
      'parameters.minimum': 1,
      'parameters.types': [
        { name: 'writing_style', about: 'style and tone the response has', scope: 'whole' },
        { name: 'order', about: 'comes first in the response', scope: 'part' },
      ],
      'parameters.forward.constraints': { min: 2, max: 4 },
      'parameters.demos.rate': 0,
      'parameters.sampling.maxTokens': 96,
      ...few('parameters.sft'),
    },
    drops: [...reply, 'no-constraints', 'rule-false'],
  },
  linguist: {
    files: { 'train.jsonl': 'utterances.jsonl', 'test.jsonl': 'utterances-test.jsonl' },
    models: ['base'],
    model: 'weather_query/generator',
    sets: {
      'models.encoder.path': join(root, 'examples/textworld/base/encoder'),
      'parameters.arms': [],
      'parameters.intents': ['weather_query'],
      'parameters.starters': 8,
      'parameters.draws': 1,
      'parameters.students': 1,
      'parameters.examples': 4,
      'parameters.samples': 4,
      'parameters.target': 8,
      'parameters.upsample': 2,
      'parameters.passes': 2,
      'parameters.checkIntent': true,
      'parameters.sampling.generate': { temperature: 0.3, topK: 50, maxTokens: 48, stop: ['\n'] },
      ...few('parameters.generatorSft', 20),
      'parameters.studentSft': { learningRate: 2e-3, length: { epochs: 8 }, batch: 8, maxTokens: 64 },
    },
    drops: [...reply, 'v1-grammar', 'v2-label', 'v3-slots', 'v4-value', 'v5-wildcard', 'v7-type', 'v8-intent'],
  },
};
