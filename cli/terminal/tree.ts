/** Formats an experiment as a tree of rounds and steps, and its summary as numbers and links. */
import { metricNames } from '../../workflows/measured.ts';
import { formatDropped, formatEndings, sparkline, table } from './text.ts';
import { duration, number } from '../../schemas/units.ts';
import { pad, widthOf } from './terminal.ts';
import { moneyText, type Money } from '../../experiments/cost.ts';
import type { StepView, View } from '../../experiments/view.ts';
import { waitText } from '../../experiments/waits.ts';

/** Records or optimizer steps per second of a running step; undefined if not known yet. */
export type Rate = (path: string) => number | undefined;

const marks = { running: '…', attention: '!', completed: '✓', failed: '✗', cancelled: '–' } as const;

/** `left`: seconds until it ends; null: not known. */
export function tree(view: View, rate: Rate = () => undefined, left: number | null = null): string[] {
  const { experiment, recipe, state, round, steps, failure } = view;
  const head = [state, ...(round === null ? [] : [`round ${round}`]), ...costText(view.cost), ...leftText(left)];
  const lines = [`${experiment} (${recipe}): ${head.join(', ')}`];
  const groups = Map.groupBy(steps, (step) =>
    [...(step.round === null ? [] : [`round ${step.round}`]), ...(step.arm === null ? [] : [`arm ${step.arm}`])].join(', '),
  );
  const width = Math.max(0, ...steps.map(({ name }) => widthOf(name)));
  for (const [title, group] of groups) {
    if (title) lines.push(`  ${title}`);
    for (const step of group)
      lines.push(`${title ? '    ' : '  '}${marks[step.state]} ${pad(step.name, width)}  ${describeStep(step, rate(step.path))}`.trimEnd());
  }
  if (failure) lines.push('', `It failed: ${failure}`);
  return lines;
}

const costText = (cost: Money): string[] => (Object.keys(cost).length === 0 ? [] : [moneyText(cost)]);
export const leftText = (left: number | null): string[] => (left === null ? [] : [`about ${duration(left)} left`]);

/** Describes a step in one line. */
export function describeStep(step: StepView, rate?: number, now = Date.now()): string {
  const { state, cached, kind, live, waits } = step;
  if (state === 'running')
    return (
      [...(live ? [describeLive(live, kind, rate)] : []), ...costText(step.cost ?? {}), ...(waits ? [waitText(waits, now)] : [])].join(
        ', ',
      ) || 'running'
    );
  if (state !== 'completed') return state;
  const counts = isData(step) ? [formatKept(step)] : kind === 'train' && step.in !== null ? [`on ${formatRows(step)} rows`] : [];
  const loss = step.loss === undefined ? [] : [`loss ${step.loss.toFixed(3)}`];
  if (step.validation) loss.push(`validation loss ${step.validation.loss.toFixed(3)} at step ${number(step.validation.step)}`);
  loss.push(...formatSpikes(step.spikes));
  const reasons = formatDropped(step.dropped);
  const cost = cached
    ? ['cached']
    : [
        ...(step.requests ? [`${number(step.requests)} calls`] : []),
        ...(step.attempts ? [`${number(step.attempts)} attempts`] : []),
        ...(step.tokens ? [`${number(step.tokens.read)} + ${number(step.tokens.written)} tokens`] : []),
        ...costText(step.cost ?? {}),
        ...(step.seconds === null ? [] : [duration(step.seconds)]),
      ];
  const unread = step.unread ? ` (unread endings: ${formatEndings(step.unread, 1)})` : '';
  return [...counts, ...loss, ...(reasons ? [`dropped ${reasons}${unread}`] : []), ...cost].filter((part) => part !== '').join(', ');
}
/** Whether the step has output records; an imported model has none. */
const isData = ({ output, outputs }: StepView): boolean =>
  [output, ...Object.values(outputs ?? {})].some((one) => one !== null && one.rows !== null);
const formatRows = ({ kept, in: entered }: StepView): string =>
  kept === null || kept === entered ? number(entered!) : `${number(kept)} of ${number(entered!)}`;
const formatKept = ({ kept, in: entered }: StepView): string =>
  kept === null ? '' : entered === null || entered === kept ? `${number(kept)} kept` : `${number(kept)} of ${number(entered)} kept`;

const formatSpikes = (spikes: readonly number[] = []): string[] =>
  spikes.length === 0 ? [] : [`loss jumped at step ${spikes.slice(-3).map(number).join(', ')}`];

function describeLive(
  { done, of, loss, losses, validationLoss, spikes }: NonNullable<StepView['live']>,
  kind: StepView['kind'],
  rate: number | undefined,
): string {
  const parts = [`${number(done)}${of === null ? '' : ` of ${number(of)}`} ${kind === 'train' ? 'steps' : 'records'}`];
  if (rate !== undefined && rate > 0) {
    parts.push(`${rate.toFixed(1)}/s`);
    if (of !== null && of > done) parts.push(`${duration((of - done) / rate)} left`);
  }
  if (loss !== undefined) parts.push(`loss ${loss.toFixed(3)}${losses ? ` ${sparkline(losses)}` : ''}`);
  if (validationLoss !== undefined) parts.push(`validation loss ${validationLoss.toFixed(3)}`);
  return [...parts, ...formatSpikes(spikes)].join(', ');
}

/** The metrics of each round, and links. */
export function summary(view: View, ui: string | null, namespace = 'default'): string[] {
  const { experiment, workflowId, runId, metrics, steps, attention, notices } = view;
  const names = metricNames(metrics);
  const rows = metrics.map((row) => [`${row.round}`, row.arm, ...names.map((name) => row[name] ?? null)]);
  const drops = steps.find((step) => step.stepKey !== null && Object.keys(step.dropped).length > 0);
  return [
    ...(rows.length === 0 ? [] : [table(['round', 'arm', ...names], rows), '']),
    ...(ui === null
      ? []
      : [`Temporal UI   ${ui}/namespaces/${namespace}/workflows/${encodeURIComponent(workflowId)}${runId === null ? '' : `/${runId}`}`]),
    `Details       backspin status ${experiment} --json`,
    ...(steps[0]
      ? [`Records       backspin show ${experiment} ${steps.findLast((step) => step.kind === 'map')?.path ?? steps[0].path}`]
      : []),
    ...(drops ? [`Dropped       backspin show ${experiment} ${drops.path} --dropped ${Object.keys(drops.dropped)[0]}`] : []),
    ...(view.state === 'completed' ? [`Result        backspin export ${experiment} --to FOLDER`] : []),
    ...steps.flatMap(({ path, waits }) =>
      waits?.state === 'held'
        ? ['', `${path} is held since ${waits.since} by ${waits.url}: ${waits.why.replace(/\.$/, '')}. It goes on by itself.`]
        : [],
    ),
    ...(notices.length === 0 ? [] : ['', ...notices]),
    ...(attention.length === 0
      ? []
      : ['', ...attention.flatMap(({ path, reason, remedy }) => [`${path} waits: ${reason.replace(/\.$/, '')}.`, `  ${remedy}`])]),
  ];
}
