/** Runs Humpback as in the paper, but on 20 seed pairs and 61 segments, with rule-based models. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { BoundConfig } from '../../schemas/config.ts';
import { sha256 } from '../../schemas/canonical.ts';
import { jsonl, lot, stage, type Given as Launched, type Ran, type Stage } from './recipe.ts';

export type { Ran } from './recipe.ts';
export interface Given extends Pick<Launched, 'before' | 'evaluation'> {
  /** Rows of the third part. */
  readonly replay?: readonly object[];
  /** A separate judge model. */
  readonly scorer?: boolean;
}
export interface Humpback extends Omit<Stage, 'run'> {
  /** One at a time. */
  run(parameters?: object, given?: Given): Promise<Ran>;
}

export const seedPairs = Array.from({ length: 20 }, (_, n) => ({ instruction: `Seed question ${n}?`, response: `Seed answer ${n}.` }));
export const instructions = ['What is a tide?', 'Name three rivers.'];

const words = (name: string, count: number) => Array.from({ length: count }, (_, i) => `w${sha256(`${name} ${i}`).slice(0, 5)}`).join(' ');
const sentences = (name: string, count: number) => Array.from({ length: count }, (_, i) => `${words(`${name}/${i}`, 9)}.`).join(' ');

/** 61 good sections, the last a near-duplicate of the first, between bad ones of each kind. */
const document = [
  sentences('no header at all', 15),
  ...Array.from({ length: 60 }, (_, n) => `# Section ${n}\n\n${sentences(`section ${n}`, 12 + (n % 30))}`),
  `# Section 0 again\n\n${sentences('section 0', 12)} ${words('news', 3)}.`,
  `# Too short\n\n${sentences('short', 3)}`,
  `# Too long\n\n${sentences('long', 90)}`,
  `# ALL CAPITALS\n\n${sentences('capitals', 15)}`,
  `# Newsletter\n\n${sentences('newsletter', 15)}`,
].join('\n\n');

/** A third of the judgements has no rating or one off the scale; a third is a 5. */
const judgements = [
  'I cannot say.',
  'Score: 8',
  'Score: 3 and more',
  'Score: 1',
  'Score: 2',
  'Score: 4',
  'Fine.\nScore: 5',
  'Score: 5',
  'Not Score: 1.\nScore: 5',
];
function reply(role: string, model: string, content: string): string {
  if (role === 'model') return 'An answer.';
  if (role === 'scorer') return judgements[lot(`${model} ${content}`, judgements.length)]!;
  const kind = lot(content, 20);
  return kind === 0 ? ' ' : kind === 1 ? 'Why?' : kind === 2 ? words(content, 200) : ` What is ${sha256(content).slice(0, 8)}?\n`;
}

export async function humpback(): Promise<Humpback> {
  const files = { 'seed.jsonl': jsonl(seedPairs), 'document.md': document, 'base/': '{}', 'scorer/': '{"another": true}' };
  const made = await stage(
    'humpback',
    {
      reply,
      score: ({ model, continuation }) => [{ id: 0, logprob: -1 - lot(`${model.digest} ${continuation}`, 1000) / 100, entropy: null }],
    },
    files,
  );
  const { folder } = made;
  const source = (source: string, path: string) => ({ source, params: { path }, folder });
  return {
    ...made,
    async run(parameters = {}, { replay, evaluation = answering, scorer = false, ...given } = {}) {
      if (replay) await writeFile(join(folder, 'replay.jsonl'), jsonl(replay));
      return made.run({
        parameters: { minimum: 1, judgeCheck: null, ...parameters },
        data: {
          seed: source('std.table', 'seed.jsonl'),
          corpus: source('std.documents', 'document.md'),
          ...(replay ? { replay: source('std.table', 'replay.jsonl') } : {}),
        },
        models: { base: { path: join(folder, 'base') }, ...(scorer ? { scorer: { path: join(folder, 'scorer') } } : {}) },
        evaluation,
        ...given,
      });
    },
  };
}

/** Suites that come with backspin. */
const answering: BoundConfig['evaluation'] = {
  forward: { id: 'humpback.answers', params: { instructions } },
  curated: { id: 'humpback.pairs', params: {} },
};
