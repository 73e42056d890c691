/** Records as tables: types, names and order of columns, and what a query may name. */
import { readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { sha256 } from '../../schemas/canonical.ts';
import { planGc } from '../../store/gc.ts';
import { pathsOf } from '../../store/paths.ts';
import { Database } from '../../experiments/tables/duckdb.ts';
import { tableOf } from '../../experiments/tables/parquet.ts';
import { selectRecords } from '../../experiments/tables/select.ts';
import { openDatabase, prepareQuery } from '../../experiments/tables/steps.ts';
import { viewOf } from '../../experiments/view.ts';
import { judgedHome, type Judged } from '../support/judged.ts';
import { experiment, newStore, output, put, record } from '../support/store.ts';

const tableRows = async (values: readonly object[], query = 'from t') => {
  const store = await newStore();
  const database = await openDatabase(store);
  await database.run(`create view t as from '${await tableOf(store, await put(store, values.map(record)), 'records')}'`);
  return { rows: await database.rows(query), types: await database.rows<{ column_name: string; column_type: string }>('describe t') };
};

test('a table has each field of its records as a column, whatever its name and type, and null where a record lacks it', async (t) => {
  const { rows, types } = await tableRows([
    { id: 'own', text: 'a', score: 5, list: ['x'], of: { a: 1 }, mixed: 1 },
    { text: '\u2028"\u202e', score: 4.5, Text: 3, 'a.b "q"': true, list: [], of: { a: 'x' }, mixed: [], nothing: null },
  ]);
  t.like(rows[0], { value_id: 'own', text: 'a', score: 5, list: ['x'], mixed: 1, nothing: null, value_Text: null });
  t.like(rows[1], { value_id: null, text: '\u2028"\u202e', score: 4.5, value_Text: 3, 'a.b "q"': true, list: [], mixed: [] });
  const type = Object.fromEntries(types.map((one) => [one.column_name, one.column_type]));
  t.like(type, { score: 'DOUBLE', text: 'VARCHAR', list: 'VARCHAR[]', value_Text: 'BIGINT', mixed: 'JSON' });
});

test('numbers beyond 64 bits stay numbers', async (t) => {
  const { rows } = await tableRows([{ n: 2 ** 63 }, { n: 3 }], 'select n from t');
  t.deepEqual(rows, [{ n: 2 ** 63 }, { n: 3 }]);
});

test('no records, and records without fields, are tables too', async (t) => {
  t.deepEqual((await tableRows([])).rows, []);
  t.deepEqual((await tableRows([{}], 'select count(*) as n from t')).rows, [{ n: 1 }]);
});

test('an object whose keys are data stays one column', async (t) => {
  const many = Object.fromEntries(Array.from({ length: 300 }, (_, n) => [`word${n}`, n]));
  const { types } = await tableRows([{ counts: many }]);
  t.is(types.find((one) => one.column_name === 'counts')?.column_type, 'JSON');
});

test('a damaged shard is reported by its name, and makes no table', async (t) => {
  const store = await newStore();
  const ref = await put(store, [record({ n: 1 })]);
  const [shard] = (await store.dataset(ref)).shards;
  writeFileSync(pathsOf(store.root).blob(shard!.digest), 'rot');
  await t.throwsAsync(tableOf(store, ref, 'records'), { message: new RegExp(`${shard!.digest}.* cannot be unpacked`) });
  t.deepEqual(readdirSync(pathsOf(store.root).folders.tables), []);
});

test('gc removes a table with its dataset, and keeps that of a needed one', async (t) => {
  const store = await newStore();
  const [kept, stray] = [await put(store, [record({ n: 1 })]), await put(store, [record({ n: 2 })])];
  for (const ref of [kept, stray]) await tableOf(store, ref, 'records');
  await store.putOutput(output('map', kept));
  await store.putExperiment(experiment('a', { ledger: { x: { result: kept, stepKey: sha256('map'), cached: false } } }));
  const { sweep } = await planGc(store, Date.now() + 2 * 3_600_000);
  t.deepEqual(
    sweep.filter(({ path }) => path.startsWith('tables/')).map(({ path }) => path),
    [`tables/${stray.digest}.records.parquet`],
  );
});

test('a query that is confined reads tables of the store and nothing else', async (t) => {
  const store = await newStore();
  const path = await tableOf(store, await put(store, [record({ n: 1 })]), 'records');
  const database = await Database.open(pathsOf(store.root).temporary);
  await database.confine([pathsOf(store.root).folders.tables]);
  t.is((await database.rows(`from '${path}'`)).length, 1);
  await t.throwsAsync(database.rows(`from read_text('/etc/hostname')`), { message: /cannot be run: Permission Error/ });
  await t.throwsAsync(database.run('set enable_external_access = true'));
});

let home: Judged;
test.before(async () => {
  home = await judgedHome();
});
const asked = async (sql: string) => {
  const { store } = home;
  const record = (await store.experiment('judged'))!;
  const database = await openDatabase(store);
  return database.rows(await prepareQuery(database, store, record, await viewOf(store, record), sql));
};

test('a query names a step by its path, with quotation marks of either kind, and its dropped records behind a dot', async (t) => {
  t.deepEqual(await asked(`select reason, count(*) as n from 'r1/judge'.dropped group by 1`), [{ reason: 'no-score', n: 3 }]);
  t.deepEqual(await asked(`select count(*) as n from "r1/judge" where score >= 4`), [{ n: 10 }]);
  t.deepEqual(await asked(`select count(*) as n from 'r1/judge' a join 'r2/judge'.records b using (id), 'backtranslate'.records`), [
    { n: 27 * 30 },
  ]);
  t.deepEqual(await asked(`select count(*) as n from 'r1/judge' where 'r1/judge' in ('x', 'r1/judge')`), [{ n: 27 }]);
});

test('a query finds the steps, the drops and the metrics of the experiment without naming one', async (t) => {
  t.deepEqual(await asked(`select sum(count)::int as n from drops where reason = 'where'`), [{ n: 34 }]);
  t.deepEqual(await asked(`select round, value from metrics where metric = 'exact' and arm is null order by round`), [
    { round: 1, value: 0.44 },
    { round: 2, value: 0.54 },
  ]);
  t.deepEqual(await asked(`select kind, count(*)::int as n from steps where round = 1 group by 1 order by 1`), [
    { kind: 'evaluate', n: 2 },
    { kind: 'map', n: 1 },
    { kind: 'reduce', n: 1 },
    { kind: 'train', n: 1 },
  ]);
});

test('a step, a table or a column that is not there is named, with what there is', async (t) => {
  await t.throwsAsync(asked(`from 'r9/judge'`), { message: /no step "r9\/judge"; the nearest is "r1\/judge"/ });
  await t.throwsAsync(asked(`from backtranslate.dropped`), { message: /cannot be run/ });
  await t.throwsAsync(asked(`from 'backtranslate'.dropped`), { message: /no table "dropped": it dropped nothing/ });
  await t.throwsAsync(asked(`from 'r1/judge'.drops`), { message: /no table "drops", only records, dropped/ });
  await t.throwsAsync(asked(`select scor from 'r1/judge'`), { message: /"scor" not found.*"score"/ });
});

test('a selection holds a condition, an order and a sample', async (t) => {
  const { store } = home;
  const ref = (await store.experiment('judged'))!.steps.find(({ path }) => path === 'r1/judge')!.result as never;
  const select = async (selection: Parameters<typeof selectRecords>[2], limit = 100) =>
    (await selectRecords(store, { ref, layout: 'records' }, selection, limit)).map(({ score }) => score);
  t.deepEqual(await select({ where: 'score > 3', sort: 'score desc' }, 6), [5, 5, 5, 5, 5, 4]);
  t.is((await select({ sample: 7 })).length, 7);
  t.is((await select({ sample: 7, where: 'score = 5' })).length, 5);
  t.is((await select({ where: 'true -- a comment' })).length, 27);
});

test('a table is made once: later queries do not read the shards', async (t) => {
  const store = await newStore();
  const ref = await put(store, [record({ n: 1 })]);
  const path = await tableOf(store, ref, 'records');
  rmSync(join(store.root, 'blobs'), { recursive: true });
  t.is(await tableOf(store, ref, 'records'), path);
});
