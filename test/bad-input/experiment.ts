/** A small experiment on files: sound as it stands, for a case to break. */
import { join } from 'node:path';
import { root } from '../cli/cli.ts';
import { command, homeWith, type Case, type Files } from './case.ts';

export const base = join(root, 'examples/textworld/base/rated');

export const sound = `recipe: humpback
data:
  seed: { source: std.table, params: { path: seed.jsonl } }
  corpus: { source: std.documents, params: { path: corpus.md } }
models:
  base: { path: ${base} }
evaluation:
  curated: { suite: humpback.pairs }
parameters:
  rounds: 2
  keep: { threshold: 4 }
  sft: { maxTokens: 256 }
`;

const pairs = Array.from({ length: 8 }, (_, n) => ({ instruction: `What is ${n} and ${n}?`, response: `It is ${2 * n}.` }));
export const lines = pairs.map((pair) => JSON.stringify(pair));
const sentences = Array.from({ length: 40 }, (_, n) => `The ${n}th of these sentences tells of the number ${n * n}.`);
export const files: Files = { 'seed.jsonl': `${lines.join('\n')}\n`, 'corpus.md': `# Numbers\n\n${sentences.join(' ')}\n` };

/** The sound file with one piece of its text changed. */
export function changed(from: string | RegExp, to: string): string {
  if (!(typeof from === 'string' ? sound.includes(from) : from.test(sound))) throw new Error(`${from} is not in the sound file`);
  return sound.replace(from, to);
}

/** `backspin plan` and `backspin launch` of an experiment file, where nothing is up: both say the same. */
export const both = (what: string, text: string, says: RegExp, more: Files = {}): Case[] =>
  ['plan', 'launch'].map((verb) =>
    command(`${what} (${verb})`, [verb, 'experiment.yaml'], 1, says, {
      home: homeWith({ ...files, ...more, 'experiment.yaml': text }),
      env: { TEMPORAL_ADDRESS: '127.0.0.1:9' }, // nobody is there
    }),
  );

/** `backspin plan` of an experiment file. */
export const plan = (
  what: string,
  text: string | Uint8Array,
  says: RegExp,
  { set = [], more = {}, ends = 1 }: { readonly set?: readonly string[]; readonly more?: Files; readonly ends?: number } = {},
): Case =>
  command(what, ['plan', 'experiment.yaml', ...set.flatMap((one) => ['--set', one])], ends, says, {
    home: homeWith({ ...files, ...more, 'experiment.yaml': text }),
  });
