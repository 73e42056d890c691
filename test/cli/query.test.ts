/** `show` with a selection, `sql` and `trace`, on a store that two experiments left. */
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { pathsOf } from '../../store/paths.ts';
import { judgedHome, type Judged } from '../support/judged.ts';
import { backspin } from './cli.ts';

let home: Judged;
test.before(async () => {
  home = await judgedHome();
});

test('show sorts, filters and draws records, also of those dropped', async (t) => {
  const { folder } = home;
  const show = async (...args: string[]) => JSON.parse((await backspin(folder, ['show', 'judged', ...args, '--json'])).stdout) as object[];
  const best = await show('r1/judge', '--where', "score >= 4 and instruction like '%4%'", '--sort', 'score desc', '--limit', '2');
  t.is(best.length, 2);
  t.like(best[0], { score: 5 });
  t.false('from' in best[0]!);
  t.is((await show('r1/judge', '--sample', '12')).length, 12);
  t.like((await show('r1/curated', '--dropped', 'where', '--where', "evidence = 'score is 1'"))[0], {
    reason: 'where',
    where: 'texts.md:1',
  });
  const { code, stderr } = await backspin(folder, ['show', 'judged', 'r1/judge', '--where', 'scor > 1']);
  t.is(code, 1);
  t.regex(stderr, /The query cannot be run: .*"scor" not found.*"score"/);
});

test('sql prints a table, JSON lines or CSV, and writes Parquet', async (t) => {
  const { folder } = home;
  const query = `select reason, count(*) as n from 'r1/judge'.dropped group by 1`;
  const sql = (...args: string[]) => backspin(folder, ['sql', 'judged', ...args]);
  t.is((await sql(query)).stdout, 'reason    n\nno-score  3\n');
  t.is((await sql(query, '--format', 'jsonl')).stdout, '{"reason":"no-score","n":3}\n');
  t.is((await sql(`${query};`, '--format', 'csv')).stdout, 'reason,n\nno-score,3\n');
  const to = join(folder, 'out.parquet');
  t.is((await sql(query, '--format', 'parquet', '--to', to)).code, 0);
  t.is(readFileSync(to).toString('latin1', 0, 4), 'PAR1');
  const failed = await sql(`select nope from 'r1/judge'`, '--format', 'csv', '--to', join(folder, 'no.csv'));
  t.is(failed.code, 1);
  t.false(existsSync(join(folder, 'no.csv')));
});

test('sql reads the records of the experiment, and neither files nor the network; it writes nothing', async (t) => {
  const { folder, store } = home;
  const [secret, stolen] = [join(folder, 'secret.csv'), join(folder, 'stolen.csv')];
  writeFileSync(secret, 'word\nhidden\n');
  const tables = pathsOf(store.root).folders.tables;
  const queries = [
    [`select * from read_csv('${secret}')`, /Permission Error/],
    [`from '${secret}'`, /No step of judged is called|has no step/],
    [`select * from read_text('${secret}')`, /Permission Error/],
    [`copy (select 1) to '${stolen}'`, /Permission Error/],
    [`copy (select 1) to '${tables}/stolen.csv'`, /one SELECT/],
    [`select 1) to '${tables}/stolen.csv'; copy (select 1`, /syntax error/],
    [`select 1; copy (select 1) to '${tables}/stolen.csv'`, /one SELECT/],
    [`attach '${stolen}'`, /one SELECT|Permission Error/],
    ['install httpfs', /one SELECT|Permission Error/],
    ['set enable_external_access = true', /one SELECT|configuration/],
    [`create table mine as select 1`, /one SELECT/],
    [`drop view steps`, /one SELECT/],
    [`selec 1`, /syntax error/],
    [``, /one SELECT/],
  ] as const;
  for (const [at, [query, why]] of queries.entries()) {
    const { code, stdout, stderr } = await backspin(folder, ['sql', 'judged', query, '--format', at % 2 ? 'csv' : 'table']);
    t.is(code, 1, `${query} ${stdout}`);
    t.regex(stderr, why, query);
    t.notRegex(stdout + stderr, /hidden|^\s+at /m, query);
  }
  t.false(existsSync(stolen));
  t.deepEqual(
    readdirSync(tables).filter((name) => !name.endsWith('.parquet')),
    [],
  );
  const { code, stderr } = await backspin(folder, ['show', 'judged', 'r1/judge', '--where', `exists (from read_csv('${secret}'))`]);
  t.is(code, 1);
  t.regex(stderr, /Permission Error/);
});

test('what models wrote cannot steer the terminal through a table', async (t) => {
  const { folder } = home;
  const { stdout } = await backspin(folder, ['sql', 'judged', `select response from 'r1/judge' limit 1`]);
  // oxlint-disable-next-line no-control-regex
  t.notRegex(stdout, /[\u001b\u202e]/);
});

test('trace tells the journey of a record, from its file to the trainings that have learnt it', async (t) => {
  const { folder, pairs } = home;
  const { code, stdout } = await backspin(folder, ['trace', 'judged', pairs[3]!.id.slice(0, 12)]);
  t.is(code, 0);
  t.regex(stdout, /^record \w{32}, from texts\.md:4\n/);
  t.regex(stdout, /^r1\/judge \(humpback\.rating\): kept · what was made of it/m);
  t.regex(stdout, /^ {2}asked scorer\n {4}user:/m);
  t.regex(stdout, /^r2\/forward \(sft\): learnt/m);
  t.regex((await backspin(folder, ['trace', 'judged', pairs[9]!.id])).stdout, /^r1\/judge \(humpback\.rating\): dropped as no-score\n/m);
  const { events } = JSON.parse((await backspin(folder, ['trace', 'judged', pairs[3]!.id, '--json'])).stdout) as { events: object[] };
  t.is(events.length, 8);
});
