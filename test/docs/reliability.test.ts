import test from 'ava';
import { matrix, nameOf } from '../faults/matrix.ts';
import { results, table, tableOfPage } from '../faults/results.ts';

test('the page on reliability has the table of the results', (t) => {
  t.is(tableOfPage(), table(results()));
});

test('every cell of the fault matrix has passed twice', (t) => {
  const passed = (name: string) => results()[name]?.length === 2 && results()[name].every(({ broken }) => broken.length === 0);
  t.true(matrix.length >= 60);
  t.deepEqual(
    matrix.map(nameOf).filter((name) => !passed(name)),
    [],
  );
});
