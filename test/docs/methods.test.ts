/** The table of methods in the README has each recipe, with its page, its paper and its experiment file. */
import test from 'ava';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { recipeSchemas } from '../../schemas/recipes/index.ts';

const root = join(import.meta.dirname, '../..');
const read = (file: string) => readFileSync(join(root, file), 'utf8');
const rows = [...read('README.md').matchAll(/^\| \[[\w-]+\]\((.*?)\) \| \[([\d.]+)\]\(.*?\) \|.*\[.*?\]\((.*?)\) \|$/gm)];

test('every recipe has a row, whose page is of that paper and whose experiment file is of that recipe', (t) => {
  const named = rows.map(([, page, paper, file]) => {
    t.true(read(page!).includes(`arxiv.org/abs/${paper!}`), page);
    return /^recipe: (.*)$/m.exec(read(file!))![1]!;
  });
  const methods = Object.keys(recipeSchemas).filter((recipe) => recipe !== 'pretrain'); // trains bases for the text world
  t.deepEqual(named.toSorted(), methods.toSorted());
});
