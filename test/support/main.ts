/** MAIN on the in-memory `Run`, with one seed pair that is always answered with nothing. */
import { join } from 'node:path';
import { jsonl, lot, stage } from './recipe.ts';

export const ROUNDS = 3;
export const seed = Array.from({ length: 12 }, (_, n) => ({ instruction: `What is thing ${n}?`, response: `Thing ${n} is a stone.` }));
export const texts = Array.from({ length: 50 }, (_, n) => ({ text: `Text ${n} tells ${'more '.repeat(n % 7)}of it.` }));

export const made = await stage(
  'main',
  {
    // One seed pair of all is always answered with nothing.
    reply: (role, model, content) =>
      content.includes('thing 7?') || content.includes('Thing 7 ') ? ' ' : `${role} ${lot(model + content, 1000)} says.`,
    // What people wrote is three times as likely as what was imagined.
    score: ({ model, prompt, continuation }) => {
      const imagined = JSON.stringify(prompt).includes('says.');
      const each = imagined ? 1.5 : 0.5;
      const shift = continuation.startsWith('Text') ? lot(model.digest + continuation, 100) / 100 : 0;
      return continuation.split(' ').map((_, id) => ({ id, logprob: -each - shift, entropy: null }));
    },
  },
  { 'seed.jsonl': jsonl(seed), 'texts.jsonl': jsonl(texts), 'base/': '{}' },
);
export const source = (path: string) => ({ source: 'std.table', params: { path }, folder: made.folder });
export const run = (parameters: object = {}) =>
  made.run({
    parameters: { rounds: ROUNDS, minimum: 1, judgeCheck: null, ...parameters },
    data: { seed: source('seed.jsonl'), corpus: source('texts.jsonl') },
    models: { base: { path: join(made.folder, 'base') } },
  });
export const ran = await run();
