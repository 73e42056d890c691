/** `npm run mutants` takes minutes; that its list fits the code is seen at once. */
import test from 'ava';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { mutants } from './list.ts';

const root = join(import.meta.dirname, '../..');

test('each mutant changes a place that the code has once, and names a test that there is', (t) => {
  for (const { name, file, from, to, test: noticing } of mutants) {
    t.is(readFileSync(join(root, file), 'utf8').split(from).length, 2, name);
    t.not(from, to, name);
    t.true(existsSync(join(root, noticing)), name);
  }
  t.is(new Set(mutants.map(({ name }) => name)).size, mutants.length);
});
