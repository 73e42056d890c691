/** Writes the model cards and dataset cards of exports, in Hugging Face's format. */
import { stringify } from 'yaml';
import { refsIn } from '../schemas/call.ts';
import type { BoundConfig } from '../schemas/config.ts';
import type { ExperimentRecord } from '../schemas/experiment.ts';
import type { CurvePoint, DatasetManifest, ModelManifest, Output } from '../schemas/store.ts';
import { number } from '../schemas/units.ts';
import { holdsTagger } from '../steps/checks.ts';
import { sharedFileOf } from './file-of.ts';
import type { MetricCell } from './intervals.ts';
import { modelName, originOf, promptsOf, usesOf, type Metrics, type Provenance } from './provenance.ts';
import type { Feature, Format } from './tables/formats.ts';

interface About extends Provenance {
  /** What the card calls it. */
  readonly from: string;
  /** Of what is exported; undefined: unknown. */
  readonly license: string | undefined;
}
interface AboutModel extends About {
  /** The card describes the adapter alone, not the merged model. */
  readonly adapter: boolean;
  /** Points of the curve of its training. */
  readonly curve: readonly CurvePoint[];
  readonly metrics: Metrics;
}

/** `manifests`: of the model, and of those that it was trained from in turn. */
export function modelCard(record: ExperimentRecord, manifests: readonly ModelManifest[], about: AboutModel): string {
  const [manifest] = manifests as [ModelManifest];
  const { digest, template, steps, dataset, settings, base } = manifest;
  const { adapter, curve, metrics } = about;
  const origin = originOf(record, manifests.at(-1)!.digest);
  const datasets = repositoriesOf(record, about);
  const head = {
    ...licenseHead(about),
    library_name: adapter ? 'peft' : 'transformers',
    pipeline_tag: pipelineOf(manifest),
    tags: ['backspin', record.recipe],
    ...(origin && 'hub' in origin && { base_model: origin.hub }),
    ...(datasets.length > 0 && { datasets }),
    ...modelIndex(record, manifest, metrics),
  };
  return card(head, [
    ...heading(record, about),
    `| digest | \`${digest}\` |`,
    ...(origin && 'hub' in origin ? [`| base model | ${origin.hub} at ${origin.revision}, commit \`${origin.commit}\` |`] : []),
    ...(base === null ? [] : [`| adapter ${adapter ? 'of' : 'merged with'} | ${code(base)} |`]),
    `| trained from | ${code(manifest.from)} |`,
    `| on dataset | ${code(dataset)} |`,
    `| with template | ${code(template)} |`,
    `| optimizer steps | ${steps === null ? '–' : number(steps)} |`,
    `| can be made again | ${manifest.determinism} |`,
    '',
    ...trainings(about),
    ...section(
      'Loss',
      ['step', 'loss', 'validation loss'],
      curve.map((point) => [number(point.step), decimal(point.loss), decimal(point.validationLoss)]),
    ),
    ...section(
      'Metrics',
      ['round', 'metric', 'value', 'interval'],
      metrics.rounds.map((cell) => [cell.round === 0 ? 'start' : String(cell.round), cell.metric, decimal(cell.value), intervalOf(cell)]),
    ),
    ...provenance(record, about),
    ...(settings === null ? [] : ['## Settings', '', '```json', JSON.stringify(settings, null, 2), '```', '']),
    ...launch(record),
  ]);
}

const pipelineOf = (manifest: ModelManifest) => (holdsTagger(manifest) ? 'token-classification' : 'text-generation');

/** Results of the evaluations of this very model, as the Hub shows them. */
function modelIndex({ name, config }: ExperimentRecord, manifest: ModelManifest, { own }: Metrics): object {
  const { evaluation, data } = config as BoundConfig;
  const results = own.map(({ evaluation: { name: step, operation }, cells }) => {
    const items = evaluation?.[step.replace(/^evaluate-/, '')]?.data;
    return {
      task: { type: pipelineOf(manifest) },
      dataset: { type: (items === undefined ? undefined : data[items]?.hub?.repository) ?? operation, name: step },
      metrics: cells.map(({ metric, value }) => ({ type: metric, value })),
    };
  });
  return results.length === 0 ? {} : { 'model-index': [{ name, results }] };
}

/** The trainings that led to a model, its own last, with their data and the ends of their curves. */
function trainings({ steps }: Provenance): string[] {
  const rows = steps.flatMap(({ step, output: { verb, kept, inputs, curve } }, at) => {
    if (verb !== 'train') return [];
    const data = inputs.flatMap((digest) => {
      const maker = steps
        .slice(0, at)
        .findLast(({ output: { result } }) => refsIn(result).some((ref) => ref.kind === 'dataset' && ref.digest === digest));
      return maker ? [`\`${maker.step.path}\``] : [];
    });
    const best = curve?.best && `${decimal(curve.best.validationLoss)} at step ${number(curve.best.step)}`;
    return [[`\`${step.path}\``, data.join(', '), number(kept), decimal(curve?.last.step), decimal(curve?.last.loss), best ?? '–']];
  });
  return section('Trainings', ['step', 'data', 'rows', 'optimizer steps', 'last loss', 'lowest validation loss'], rows);
}

/** A file of an export, which `load_dataset` reads under this name. */
export interface Config {
  readonly name: string;
  readonly file: string;
  readonly rows: number;
  readonly features: readonly Feature[];
}
interface AboutDataset extends About {
  /** Of the step that made the records. */
  readonly output: Output | undefined;
  readonly format: Format;
}

export function datasetCard(
  record: ExperimentRecord,
  { digest, rows, determinism }: DatasetManifest,
  configs: readonly Config[],
  about: AboutDataset,
): string {
  const { output, format } = about;
  const dropped = Object.entries(output?.dropped ?? {}).toSorted(([, a], [, b]) => b - a);
  const versions = Object.entries(output?.versions ?? {});
  const sources = repositoriesOf(record, about);
  return card(
    {
      ...licenseHead(about),
      tags: ['backspin', record.recipe, 'synthetic'],
      size_categories: [sizeOf(configs[0]!.rows)],
      ...(sources.length > 0 && { source_datasets: sources }),
      configs: configs.map(({ name, file }) => ({ config_name: name, data_files: file })),
      dataset_info: configs.map(({ name, features, rows: examples }) => {
        return { config_name: name, features, splits: [{ name: 'train', num_examples: examples }] };
      }),
    },
    [
      ...heading(record, about),
      `| digest | \`${digest}\` |`,
      `| records | ${number(rows)} |`,
      `| format | ${format} |`,
      ...(output ? [`| made by | \`${output.operation}\` from ${number(output.in)} records |`] : []),
      ...dropped.map(([reason, count]) => `| dropped as ${reason} | ${number(count)} |`),
      ...versions.map(([id, version]) => `| version of \`${id}\` | ${version} |`),
      ...(output && output.requests > 0 ? [`| requests to models | ${number(output.requests)}, ${number(output.tokens)} tokens |`] : []),
      `| can be made again | ${determinism} |`,
      '',
      '```python',
      'from datasets import load_dataset',
      '',
      ...configs.map(({ name }) => `${name === 'default' ? 'data' : name} = load_dataset(FOLDER, "${name}", split="train")`),
      '```',
      '',
      ...(configs.length > 1 ? ['`dropped` holds what the step left out, with the reason and the evidence. `value` is JSON.', ''] : []),
      ...provenance(record, about),
      ...launch(record),
    ],
  );
}

/** As the Hub sorts datasets. */
const sizeOf = (rows: number): string =>
  rows < 1000 ? 'n<1K' : rows < 1e4 ? '1K<n<10K' : rows < 1e5 ? '10K<n<100K' : rows < 1e6 ? '100K<n<1M' : '1M<n<10M';

/** Steps, models and prompts behind an export, and the licenses of what it began with. */
function provenance(record: ExperimentRecord, { steps, licenses }: Provenance): string[] {
  return [
    ...section(
      'Lineage',
      ['step', 'made by', 'records in', 'kept', 'dropped'],
      steps.map(({ step, output }) => [
        `\`${step.path}\``,
        `\`${output.operation}\``,
        ...(step.path.startsWith('model-') ? ['–', '–'] : [number(output.in), number(output.kept)]),
        Object.entries(output.dropped)
          .map(([reason, count]) => `${number(count)} ${reason}`)
          .join(', '),
      ]),
    ),
    ...section(
      'Models that answered',
      ['model', 'digest', 'requests', 'tokens read', 'tokens written'],
      Object.entries(usesOf(steps)).map(([digest, { requests, read, written }]) => [
        modelName(record, digest),
        code(digest),
        number(requests),
        number(read),
        number(written),
      ]),
    ),
    ...section(
      'Prompts',
      ['prompt', 'version', 'sha256 of the file that has it'],
      promptsOf(record.config as BoundConfig, steps).map(({ id, version, files }) => [
        `\`${id}\``,
        String(version),
        Object.entries(files)
          .map(([file, digest]) => `${file} \`${digest}\``)
          .join(', '),
      ]),
    ),
    ...section(
      'Licenses of its sources',
      ['source', 'license'],
      licenses.map(({ kind, name, hub, license }) => [`${kind} \`${name}\`${hub === null ? '' : `, ${hub}`}`, license ?? 'unknown']),
    ),
  ];
}

/** Names on the Hub of the datasets that led to an export. */
function repositoriesOf({ config }: ExperimentRecord, { steps }: Provenance): string[] {
  const { data } = config as BoundConfig;
  const named = steps.flatMap(({ step: { path } }) => (path.startsWith('data-') ? (data[path.slice(5)]?.hub?.repository ?? []) : []));
  return [...new Set(named)];
}

function launch({ name, config }: ExperimentRecord): string[] {
  const file = `${name}.yaml`;
  const how = `Save the experiment, with every default, as \`${file}\`, and put your own paths in place of those in it:`;
  return [
    '## Launch it',
    '',
    '```shell',
    `npx backspin launch ${file}`,
    '```',
    '',
    how,
    '',
    '```yaml',
    stringify(sharedFileOf(config as BoundConfig)).trimEnd(),
    '```',
    '',
  ];
}

function intervalOf({ value, interval }: MetricCell): string {
  if (interval === null) return '';
  const { kind, low, high, of } = interval;
  if (kind === 'seeds') return `± ${decimal(high - value)} (standard deviation over seeds)`;
  return `${decimal(low)} to ${decimal(high)} (95 %${of === null ? '' : ` of ${number(of)} items`})`;
}

const decimal = (x: number | undefined): string => (x !== undefined ? (Number.isInteger(x) ? number(x) : x.toFixed(3)) : '–');
const code = (text: string | null) => (text === null ? '–' : `\`${text}\``);
const card = (head: object, lines: readonly string[]) => `---\n${stringify(head)}---\n\n${lines.join('\n')}`;
const licenseHead = ({ license }: About) => (license === undefined ? {} : { license });
const row = (cells: readonly string[]) =>
  `| ${cells.map((cell) => cell.replaceAll(/\s+/g, ' ').replaceAll('|', String.raw`\|`)).join(' | ')} |`;
/** A table below its heading; nothing without rows. */
const section = (title: string, head: readonly string[], rows: readonly (readonly string[])[]) =>
  rows.length === 0 ? [] : [`## ${title}`, '', row(head), `|${'---|'.repeat(head.length)}`, ...rows.map(row), ''];
const heading = ({ name, recipe, configDigest }: ExperimentRecord, { from, license }: About) => [
  `# ${name}: ${from}`,
  '',
  `Made by backspin with the recipe \`${recipe}\`, experiment \`${name}\`.`,
  '',
  '| | |',
  '|---|---|',
  `| license | ${license ?? 'unknown: none was given'} |`,
  `| configuration | \`${configDigest}\` |`,
];
