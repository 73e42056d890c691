/** What a `git pull` does to a checkout: a recipe that asks for one step more, an operator that gives something else under a new version,
 *  and files behind every operator that give the same. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** File, what stands there, and what stands there afterwards. */
const CHANGES = [
  [
    'workflows/recipes/humpback.ts',
    /^ {2}measure\(run, 'pool', pool\);$/m,
    "  void run.reduce(dedup(pool, { on: 'instruction', jaccard: 0.9 }), { as: 'questions' });\n$&",
  ],
  ['operators/humpback/judges.ts', /(export const rating = operator\(\{\s+version: )\d+/, '$11002'],
  ['operators/humpback/judges.ts', /judgement: said\.text\b/, 'judgement: `${said.text.trim()} (read anew)`'],
  ['recipe/operator.ts', /^/, '/** Nothing here gives anything else. */\n'],
  ['steps/batch.ts', /^/, '/** Nor here. */\n'],
] as const;

/** Once is enough. */
export function changeFiles(checkout: string): void {
  if (readFileSync(join(checkout, 'steps/batch.ts'), 'utf8').startsWith('/** Nor here. */')) return;
  for (const [file, before, after] of CHANGES) {
    const text = readFileSync(join(checkout, file), 'utf8');
    if (!before.test(text)) throw new Error(`${file} has nothing like ${before.source}`);
    writeFileSync(join(checkout, file), text.replace(before, after));
  }
}
