/** The state of an experiment as Markdown, for the Temporal UI. */
import type { ExperimentRecord, Step } from '../schemas/experiment.ts';
import type { Bound } from '../schemas/config.ts';
import { isRef, type ReportRef } from '../recipe/call.ts';

type View = Pick<ExperimentRecord, 'state' | 'round' | 'steps' | 'attention'>;

/** A table of rounds (steps done, rows, numbers measured), and what waits for a person. Under 20 KB. */
export function details(config: Bound, view: View): string {
  const lines = [`**${config.recipe}** · ${view.state}${view.round === null ? '' : ` · round ${view.round}`}`, ''];
  for (const { path, reason, remedy } of view.attention) lines.push(`> **${path}** waits: ${reason}. ${remedy}`, '');
  lines.push('| round | arm | steps | rows | measured |', '|---|---|---|---|---|');
  for (const group of groups(view.steps)) {
    const done = group.filter((step) => step.state === 'completed').length;
    const running = group.filter((step) => step.state === 'running').map((step) => step.name);
    const rows = group.flatMap((step) => (step.result && isRef(step.result) && step.result.kind === 'dataset' ? [`${step.name} ${step.result.rows}`] : []));
    const measured = group.flatMap((step) => (step.kind === 'evaluate' && step.result ? [numbers(step)] : []));
    const [{ round, arm }] = group as [Step, ...Step[]];
    lines.push(`| ${round ?? '–'} | ${arm ?? '–'} | ${done}/${group.length}${running.length > 0 ? ` (${running.join(', ')})` : ''} | ${rows.join(', ')} | ${measured.join('; ')} |`);
  }
  return lines.join('\n').slice(0, 19_000);
}

function groups(steps: readonly Step[]): Step[][] {
  const byPlace = Map.groupBy(steps, ({ round, arm }) => `${round ?? 0}/${arm ?? ''}`);
  return [...byPlace].sort(([a], [b]) => a.localeCompare(b, 'en', { numeric: true })).map(([, group]) => group);
}

const numbers = (step: Step): string =>
  Object.entries((step.result as ReportRef).metrics).map(([name, value]) => `${name} ${Number(value.toPrecision(3))}`).join(', ');
