/** Writes the model cards and dataset cards of exports, in Hugging Face's format. */
import { stringify } from 'yaml';
import { isRef } from '../schemas/call.ts';
import type { BoundConfig } from '../schemas/config.ts';
import type { ExperimentRecord } from '../schemas/experiment.ts';
import type { DatasetManifest, ModelManifest } from '../schemas/store.ts';
import { number } from '../schemas/units.ts';
import { holdsTagger } from '../steps/checks.ts';

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

export function datasetCard(
  record: ExperimentRecord,
  { digest, rows, determinism }: DatasetManifest,
  features: ReadonlyMap<string, ReadonlySet<string>>,
  from: string,
): string {
  const kinds = [...features].map(([name, types]) => ({
    name,
    dtype: [...types].filter((type) => type !== 'null').join(' or ') || 'null',
  }));
  return card(
    {
      tags: ['backspin', record.recipe],
      configs: [{ config_name: 'default', data_files: 'data.jsonl' }],
      dataset_info: { features: kinds },
    },
    [
      ...heading(record, from),
      `| digest | \`${digest}\` |`,
      `| records | ${number(rows)} |`,
      `| can be made again | ${determinism} |`,
      '',
      '| column | type |',
      '|---|---|',
      ...kinds.map(({ name, dtype }) => `| ${name} | ${dtype} |`),
      '',
    ],
  );
}

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
