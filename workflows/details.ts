/** The state of an experiment as Markdown, for the Temporal UI. */
import { isRef } from '../schemas/call.ts';
import type { BoundConfig } from '../schemas/config.ts';
import type { ExperimentRecord, Step } from '../schemas/experiment.ts';
import { measured, metricNames } from './measured.ts';

type View = Pick<ExperimentRecord, 'state' | 'round' | 'steps' | 'attention' | 'notices'>;

/** Rounds that are shown: the last ones. It is made anew at every change, and must not take longer with every round. */
const ROUNDS = 20;

/** What waits for a person, what one should know, a table of what was measured in each round, and one of what was done. Under 20 KB. */
export function details(config: BoundConfig, { state, round, steps, attention, notices }: View): string {
  const first = Math.max(...steps.map((step) => step.round ?? 0), 0) - ROUNDS + 1;
  const shown = steps.filter((step) => (step.round ?? first) >= first);
  const blocks = [
    [`**${config.recipe}** · ${state}${round === null ? '' : ` · round ${round}`}`],
    ...attention.map(({ path, reason, remedy }) => [`> **${path}** waits: ${sentence(reason)} ${sentence(capital(remedy))}`]),
    ...notices.map((notice) => [`> ${notice}`]),
    first > 1 ? [`Rounds from ${first} on.`] : [],
    metricTable(shown),
    stepTable(shown),
  ].filter((lines) => lines.length > 0);
  const text = blocks.map((lines) => lines.join('\n')).join('\n\n');
  return `${text.slice(0, 19_000)}\n\n\u00a0`; // the UI's frame is a line too short
}

function metricTable(steps: readonly Step[]): string[] {
  const rows = measured(steps);
  const names = metricNames(rows);
  if (names.length === 0) return [];
  return table(
    ['round', ...names],
    rows.map((row) => [place(row), ...names.map((name) => number(row[name]))]),
  );
}

function stepTable(steps: readonly Step[]): string[] {
  const byPlace = Map.groupBy(steps, ({ round, arm }) => `${round ?? 0}/${arm ?? ''}`);
  const groups = [...byPlace].toSorted(([a], [b]) => a.localeCompare(b, 'en', { numeric: true })).map(([, group]) => group);
  const rows = groups.map((group) => {
    const done = group.filter(({ state }) => state === 'completed').length;
    const running = group.filter(({ state }) => state === 'running').map(({ name }) => `${name} runs`);
    const data = group.flatMap(({ name, result }) =>
      result && isRef(result) && result.kind === 'dataset' ? [`${name} ${result.rows}`] : [],
    );
    return [place(group[0]!), [`${done} of ${group.length}`, ...running].join(', '), data.join(', ')];
  });
  return table(['round', 'steps done', 'rows'], rows);
}

/** Round and arm: the UI's frame is narrow. */
const place = ({ round, arm }: { round: number | null; arm: string | null }): string => `${round ?? 0}${arm === null ? '' : ` ${arm}`}`;
const table = (head: readonly string[], rows: readonly (readonly string[])[]): string[] =>
  [head, head.map(() => '---'), ...rows].map((cells) => `| ${cells.join(' | ')} |`);

const number = (value: number | string | null | undefined): string =>
  typeof value !== 'number' || Number.isInteger(value) ? `${value ?? ''}` : value.toFixed(3);
const capital = (text: string) => text.charAt(0).toUpperCase() + text.slice(1);
const sentence = (text: string) => text.replace(/\.?$/, '.');
