/** Implements stage 1 of AIR (2502.17787): filters documents and generates an initial instruction for each. */
import { z } from 'zod';
import { drop, keep, operator } from '../../recipe/index.ts';
import { registered } from '../../schemas/config.ts';
import { documentQuality, lengths, type DocumentQuality } from '../../schemas/recipes/air.ts';
import { sampling } from '../../schemas/sampling.ts';
import { wholeReply } from '../reply.ts';
import { parseInstruction, parseScore } from './parse.ts';
import { rated, source, started, wordsOf } from './records.ts';

/** 1a and 1b: keeps documents within a word range that are not full of symbols or repetitions. */
export const readable = operator({
  version: 1,
  input: source,
  output: source,
  params: z.object({ words: z.object({ min: z.int(), max: z.int() }), quality: documentQuality.nullable() }),
  run(document, _context, { words: { min, max }, quality }) {
    const words = wordsOf(document.text);
    if (words < min) return drop('short', document.text);
    if (words > max) return drop('long', `${words} words`);
    const flaw = quality && findFlaw(document.text, quality);
    return flaw ? drop(...flaw) : keep(document);
  },
});

function findFlaw(text: string, { symbols, repeatedLines, run }: DocumentQuality): readonly [reason: string, evidence: string] | undefined {
  const signs = text.match(/[^\p{L}\p{M}\p{N}\s]/gu)?.length ?? 0;
  if (signs > symbols * Array.from(text).length) return ['symbols', `${signs} symbols`];
  const lines = text.split('\n').flatMap((line) => line.trim() || []);
  const repeated = lines.length - new Set(lines).size;
  if (repeated > repeatedLines * lines.length) return ['repeated-lines', `${repeated} of ${lines.length} lines`];
  const runs = text.match(new RegExp(`(\\S)\\1{${run},}`, 'u'))?.[0];
  return runs === undefined ? undefined : ['repeated-character', runs.slice(0, 80)];
}

const paramsFor = <const K extends string>(name: K) =>
  z.object({ prompts: z.object({ [name]: registered } as Record<K, typeof registered>), sampling: z.object({ guidance: sampling }) });
const stochastic = (params: { readonly sampling: { readonly guidance: { readonly temperature: number } } }) =>
  params.sampling.guidance.temperature !== 0;

/** 1e: generates the instruction that a document answers. */
export const backtranslate = operator({
  version: 1,
  input: source,
  output: started,
  params: paramsFor('backtranslate').extend({ lengths: z.object({ instruction: lengths.shape.instruction }) }),
  roles: ['guidance'],
  capabilities: ['chat'],
  stochastic,
  async run(document, context, { prompts, sampling, lengths }) {
    const reply = await wholeReply(context, 'guidance', context.prompt(prompts.backtranslate, document), sampling.guidance);
    if ('dropped' in reply) return reply;
    const instruction = parseInstruction(reply.text);
    if (instruction === undefined) return drop('no-instruction', reply.text);
    const words = wordsOf(instruction);
    const { min, max } = lengths.instruction;
    return words < min || words > max ? drop('instruction-length', instruction) : keep({ text: document.text, instruction });
  },
});

/** 1f: scores an instruction from 0 to 5. */
export const rate = operator({
  version: 1,
  input: started,
  output: rated,
  params: paramsFor('rate'),
  roles: ['guidance'],
  capabilities: ['chat'],
  stochastic,
  async run(started, context, { prompts, sampling }) {
    const reply = await wholeReply(context, 'guidance', context.prompt(prompts.rate, started), sampling.guidance);
    if ('dropped' in reply) return reply;
    const score = parseScore(reply.text);
    return score === undefined ? drop('no-score', reply.text) : keep({ ...started, score });
  },
});
