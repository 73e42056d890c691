import test from 'ava';
import { matrix, nameOf } from '../faults/matrix.ts';
import { passed, results, table, tableOfPage } from '../faults/results.ts';

test('the page on reliability has the table of the results', (t) => {
  t.is(tableOfPage(), table(results()));
});

test('every cell of the fault matrix has passed twice', (t) => {
  t.true(matrix.length >= 60);
  t.deepEqual(matrix.filter((cell) => !passed(cell)).map(nameOf), []);
});
