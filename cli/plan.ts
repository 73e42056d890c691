/** `backspin plan FILE`: shows the steps of an experiment before anything runs. Needs no server. Exit code 1 if something is missing. */
import { plan } from '../plan/planner.ts';
import { openServices } from '../steps/services.ts';
import type { Plan } from '../schemas/plan.ts';
import { loadExperiment } from '../experiments/config.ts';
import { loadSweep } from '../experiments/sweep.ts';
import { homeFolder } from '../host/home.ts';
import { formatDropped, printJson, table } from './terminal/text.ts';
import { number, size } from '../schemas/units.ts';

export async function run(file: string, { set, json, mermaid }: { set: string[]; json?: boolean; mermaid?: boolean }): Promise<number> {
  const sweep = await loadSweep(file, set);
  if (sweep && !mermaid) return (await import('./sweep.ts')).planSweep(sweep, json);
  const { bound } = await loadExperiment(file, set);
  const planned = await plan(await openServices(homeFolder()), bound);
  if (json) printJson(planned);
  else console.log(mermaid ? mermaidOf(planned) : tableOf(planned));
  return planned.missing.length > 0 ? 1 : 0;
}

export function tableOf({ experiment, recipe, origins, steps, questions, warnings, leftOut, missing, totals }: Plan): string {
  const rows = steps.map((step) => [
    step.path,
    step.kind,
    step.cached ? 'cached' : (step.pool ?? 'data'),
    step.in,
    step.kept,
    formatDropped(step.dropped),
    step.requests === null ? 'any' : step.requests || null,
    step.trainingSteps || null,
    step.bytes ? size(step.bytes) : null,
  ]);
  const open = steps.flatMap(({ path, requests }) => (requests === null ? [path] : []));
  const besides = open.length === 0 ? '' : ` besides those of ${open.join(', ')}, which hang on the records`;
  return [
    `${experiment} (${recipe}): ${number(totals.steps)} steps, ${number(totals.cached)} of them cached; at most ${number(totals.requests)} model calls${besides}, ${number(totals.trainingSteps)} training steps and ${size(totals.bytes)} to come`,
    '',
    table(['step', 'kind', 'where', 'in', 'kept', 'dropped', 'calls', 'training steps', 'space'], rows),
    ...section(
      'Models and data by name',
      origins.map(({ name, from }) => `${name}: ${from}`),
    ),
    ...section(
      'Branches on data',
      questions.map(({ path, answer, assumed }) => `${path}: ${JSON.stringify(answer)}${assumed ? ' (assumed)' : ''}`),
    ),
    ...section('Warnings', warnings),
    ...section(
      'Left out of models, since they serve without it',
      leftOut.map(({ path, files }) => `${path}: ${formatFiles(files)}`),
    ),
    ...section('Missing', missing),
  ].join('\n');
}
/** Returns the first names (folders for their contents), and how many more there are. */
function formatFiles(files: readonly string[]): string {
  const names = [...new Set(files.map((name) => name.replace(/\/.*/, '/')))];
  return `${names.slice(0, MAX_NAMED).join(', ')}${names.length > MAX_NAMED ? ` and ${number(names.length - MAX_NAMED)} more` : ''}`;
}
const MAX_NAMED = 12;
const section = (title: string, lines: readonly string[]) =>
  lines.length === 0 ? [] : ['', `${title}:`, ...lines.map((line) => `  ${line}`)];

export function mermaidOf({ steps }: Plan): string {
  const ids = new Map(steps.map(({ path }, i) => [path, `s${i}`]));
  return [
    'flowchart TD',
    ...steps.map(({ path, kind, cached }) => `  ${ids.get(path)}["${path}<br/>${kind}"]${cached ? ':::cached' : ''}`),
    ...steps.flatMap(({ path, needs }) => needs.filter((need) => ids.has(need)).map((need) => `  ${ids.get(need)} --> ${ids.get(path)}`)),
    '  classDef cached stroke-dasharray: 4',
  ].join('\n');
}
