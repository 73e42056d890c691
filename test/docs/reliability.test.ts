import test from 'ava';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { root } from '../cli/cli.ts';
import { matrix, nameOf } from '../faults/matrix.ts';
import { passed, results, table, tableOfPage } from '../faults/results.ts';

test('the page on reliability has the table of the results', (t) => {
  t.is(tableOfPage(), table(results()));
});

test('every cell of the fault matrix has passed twice', (t) => {
  t.true(matrix.length >= 60);
  t.deepEqual(matrix.filter((cell) => !passed(cell)).map(nameOf), []);
});

test('the README tells how many ways were tried', (t) => {
  const said = /\[tried in (\d+) ways\]/.exec(readFileSync(join(root, 'README.md'), 'utf8'))?.[1];
  t.is(Number(said), matrix.length);
});
