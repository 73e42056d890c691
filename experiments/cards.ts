/** Writes the model cards and dataset cards of exports, in Hugging Face's format. */
import { stringify } from 'yaml';
import { isRef } from '../schemas/call.ts';
import type { BoundConfig } from '../schemas/config.ts';
import type { ExperimentRecord } from '../schemas/experiment.ts';
import type { DatasetManifest, ModelManifest, Output } from '../schemas/store.ts';
import { number } from '../schemas/units.ts';
import { holdsTagger } from '../steps/checks.ts';
import type { Feature, Format } from './tables/formats.ts';

/** The model of an experiment file that trainings began with. */
type Origin = BoundConfig['models'][string];

/** `manifests`: of the model, and of those that it was trained from in turn. `adapter`: the card describes the adapter alone, not the merged
 *  model. */
export function modelCard(record: ExperimentRecord, manifests: readonly ModelManifest[], from: string, adapter: boolean): string {
  const [manifest] = manifests as [ModelManifest];
  const { digest, template, steps, dataset, settings, base } = manifest;
  const origin = originOf(record, manifests.at(-1)!);
  const head = {
    library_name: adapter ? 'peft' : 'transformers',
    pipeline_tag: holdsTagger(manifest) ? 'token-classification' : 'text-generation',
    tags: ['backspin', record.recipe],
    ...(origin && 'hub' in origin && { base_model: origin.hub }),
  };
  return card(head, [
    ...heading(record, from),
    `| digest | \`${digest}\` |`,
    ...(origin && 'hub' in origin ? [`| base model | ${origin.hub} at ${origin.revision}, commit \`${origin.commit}\` |`] : []),
    ...(base === null ? [] : [`| adapter ${adapter ? 'of' : 'merged with'} | ${code(base)} |`]),
    `| trained from | ${code(manifest.from)} |`,
    `| on dataset | ${code(dataset)} |`,
    `| with template | ${code(template)} |`,
    `| optimizer steps | ${steps === null ? '–' : number(steps)} |`,
    `| can be made again | ${manifest.determinism} |`,
    '',
    ...(settings === null ? [] : ['## Settings', '', '```json', JSON.stringify(settings, null, 2), '```', '']),
  ]);
}

function originOf({ steps, config }: ExperimentRecord, { digest }: ModelManifest): Origin | undefined {
  const { models } = config as BoundConfig;
  const imported = steps.find(({ path, result }) => path.startsWith('model-') && isRef(result) && result.digest === digest);
  return imported && models[imported.path.slice('model-'.length)];
}

/** A file of an export, which `load_dataset` reads under this name. */
export interface Config {
  readonly name: string;
  readonly file: string;
  readonly rows: number;
  readonly features: readonly Feature[];
}
interface About {
  readonly from: string;
  /** Of the step that made the records. */
  readonly output: Output | undefined;
  readonly format: Format;
}

export function datasetCard(
  record: ExperimentRecord,
  { digest, rows, determinism }: DatasetManifest,
  configs: readonly Config[],
  { from, output, format }: About,
): string {
  const dropped = Object.entries(output?.dropped ?? {}).toSorted(([, a], [, b]) => b - a);
  const versions = Object.entries(output?.versions ?? {});
  const { name: _, ...config } = record.config as BoundConfig;
  return card(
    {
      tags: ['backspin', record.recipe, 'synthetic'],
      size_categories: [sizeOf(configs[0]!.rows)],
      configs: configs.map(({ name, file }) => ({ config_name: name, data_files: file })),
      dataset_info: configs.map(({ name, features, rows: examples }) => {
        return { config_name: name, features, splits: [{ name: 'train', num_examples: examples }] };
      }),
    },
    [
      ...heading(record, from),
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
      '## Configuration',
      '',
      'The experiment as it was launched, with every default:',
      '',
      '```yaml',
      stringify(config).trimEnd(),
      '```',
      '',
    ],
  );
}

/** As the Hub sorts datasets. */
const sizeOf = (rows: number): string =>
  rows < 1000 ? 'n<1K' : rows < 1e4 ? '1K<n<10K' : rows < 1e5 ? '10K<n<100K' : rows < 1e6 ? '100K<n<1M' : '1M<n<10M';

const code = (text: string | null) => (text === null ? '–' : `\`${text}\``);
const card = (head: object, lines: readonly string[]) => `---\n${stringify(head)}---\n\n${lines.join('\n')}`;
const heading = ({ name, recipe, configDigest }: ExperimentRecord, from: string) => [
  `# ${name}: ${from}`,
  '',
  `Made by backspin with the recipe \`${recipe}\`, experiment \`${name}\`.`,
  '',
  '| | |',
  '|---|---|',
  `| configuration | \`${configDigest}\` |`,
];
