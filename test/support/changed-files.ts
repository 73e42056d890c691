/** Changes a checkout as a `git pull` would: a recipe with one more step, an operator with another result under a new version, and files
 *  behind every operator without another result. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** File, old text and new text. */
const CHANGES = [
  [
    'workflows/recipes/humpback.ts',
    /^ {2}measure\(run, 'pool', pool\);$/m,
    "  void run.reduce(dedup(pool, { on: 'instruction', jaccard: 0.9 }), { as: 'questions' });\n$&",
  ],
  ['operators/humpback/judges.ts', /(export const rating = operator\(\{\s+version: )\d+/, '$11002'],
  ['operators/humpback/judges.ts', /judgement: reply\.text\b/, 'judgement: `${reply.text.trim()} (read anew)`'],
  ['recipe/operator.ts', /^/, '/** Nothing here gives anything else. */\n'],
  ['steps/batch.ts', /^/, '/** Nor here. */\n'],
] as const;

/** Changes the files, unless they are changed already. */
export function changeFiles(checkout: string): void {
  if (readFileSync(join(checkout, 'steps/batch.ts'), 'utf8').startsWith('/** Nor here. */')) return;
  for (const [file, before, after] of CHANGES) {
    const text = readFileSync(join(checkout, file), 'utf8');
    if (!before.test(text)) throw new Error(`${file} has nothing like ${before.source}`);
    writeFileSync(join(checkout, file), text.replace(before, after));
  }
}
