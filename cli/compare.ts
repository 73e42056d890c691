/** `backspin compare A B`: prints what two experiments differ in. Needs no server. */
import { comparisonOf, type Comparison } from '../experiments/comparison.ts';
import { currentRecord } from '../experiments/current.ts';
import { experimentOf } from '../experiments/record.ts';
import { openHome } from '../host/home-store.ts';
import { number } from '../schemas/units.ts';
import { printJson, table } from './terminal/text.ts';

export async function run(a: string, b: string, { json }: { json?: boolean }): Promise<void> {
  const store = await openHome();
  const comparison = await comparisonOf(
    store,
    await currentRecord(await experimentOf(store, a)),
    await currentRecord(await experimentOf(store, b)),
  );
  if (json) return printJson(comparison);
  console.log(describe(comparison).join('\n'));
}

function describe({ a, b, configuration, parting, steps, metrics, records }: Comparison): string[] {
  const indented = (lines: readonly string[]) => lines.map((line) => `  ${line}`);
  const numbers = metrics.map(({ metric, arm, round, a: before, b: after }) => [
    metric,
    arm,
    `${round}`,
    before,
    after,
    before === null || after === null ? null : after - before,
  ]);
  const kept = records.map(({ path, beside: { sides, common } }) => [path, common, sides[0].only.total, sides[1].only.total]);
  const onlyIn = (name: string, paths: readonly string[]) => (paths.length === 0 ? [] : [`Only ${name} has ${paths.join(', ')}.`]);
  return [
    ...(configuration.length === 0 ? ['Both have the same configuration.'] : ['Configuration:', ...indented(configuration)]),
    '',
    `${number(steps.shared)} of ${number(steps.both)} steps that both have are the same step, with one result.`,
    ...onlyIn(a, steps.onlyA),
    ...onlyIn(b, steps.onlyB),
    ...(parting === null ? ['No step of both differs.'] : [`The first step that differs is ${parting.path}:`, ...indented(parting.why)]),
    ...(numbers.length === 0 ? [] : ['', table(['number', 'arm', 'round', a, b, 'difference'], numbers)]),
    ...(kept.length === 0 ? [] : ['', table(['records of', 'both', `only ${a}`, `only ${b}`], kept)]),
  ];
}
