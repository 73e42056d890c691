/** `backspin report NAME...`: writes one HTML file about experiments, and every number of it as JSON. Needs no server. */
import { basename, dirname, join, resolve } from 'node:path';
import { comparisonOf } from '../experiments/comparison.ts';
import { currentRecord } from '../experiments/current.ts';
import { experimentOf } from '../experiments/record.ts';
import { reportOf } from '../experiments/report.ts';
import { openHome } from '../host/home-store.ts';
import { reportPage } from '../pages/report.ts';
import { BackspinError } from '../schemas/errors.ts';
import { writeAtomic } from '../store/files.ts';

/** `to`: an HTML file; the JSON stands beside it. */
export async function run(names: readonly string[], { to }: { to: string }): Promise<void> {
  const file = resolve(to);
  if (!file.endsWith('.html')) throw new BackspinError('ConfigError', `${to} must end in .html: a browser opens the report.`);
  const store = await openHome();
  const records = [];
  for (const name of new Set(names)) records.push(await currentRecord(await experimentOf(store, name)));
  const reports = [];
  for (const record of records) reports.push(await reportOf(store, record));
  const comparisons = [];
  for (const other of records.slice(1)) comparisons.push(await comparisonOf(store, records[0]!, other));
  const made = new Date().toISOString();
  const json = join(dirname(file), `${basename(file, '.html')}.json`);
  await writeAtomic(file, String(await reportPage(reports, comparisons, made)));
  await writeAtomic(json, `${JSON.stringify({ made, experiments: reports, comparisons }, null, 2)}\n`);
  console.log(`${file}\n${json}`);
}
