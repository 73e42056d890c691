/** The page about data names every parameter and format that the sources have. */
import test from 'ava';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';
import { z } from 'zod';
import { documents, hub, table } from '../../sources/index.ts';
import { experimentFile } from '../../schemas/file.ts';
import { formatNames } from '../../sources/conversations.ts';

const page = readFileSync(join(import.meta.dirname, '../../docs/data.md'), 'utf8');
const part = (heading: string) => page.split('\n## ').find((one) => one.startsWith(heading))!;
/** What stands in backquotes in the first cells of tables. */
const named = (text: string) => [...text.matchAll(/^\| (`.*?) \|/gm)].flatMap(([, cell]) => cell!.match(/[\w-]+/g)!);

for (const [heading, source, more] of [
  ['Rows: ', table, ['format', ...formatNames]],
  ['Rows on the Hub', hub, []],
  ['Texts', documents, []],
] as const)
  test(`${heading}: the page has just the parameters of the source`, (t) => {
    const { properties } = z.toJSONSchema(source.params as z.ZodType, { io: 'input', unrepresentable: 'any' });
    t.deepEqual(named(part(heading)).toSorted(), [...Object.keys(properties!), ...more].toSorted());
  });

test('Without the items of benchmarks: the page has just the parameters of `decontaminate`, and its example is one', (t) => {
  const { data } = experimentFile.shape;
  const whole = part('Without the items');
  const { seed } = data.parse((parse(/```yaml\n(.*?)```/s.exec(whole)![1]!) as { data: unknown }).data);
  t.deepEqual(named(whole.split('| suite |')[0]!).toSorted(), Object.keys(seed!.decontaminate!).toSorted());
});
