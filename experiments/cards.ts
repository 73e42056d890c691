/** Writes the model cards and dataset cards of exports, in Hugging Face's format. */
import { stringify } from 'yaml';
import type { ExperimentRecord } from '../schemas/experiment.ts';
import type { DatasetManifest, ModelManifest } from '../schemas/store.ts';
import { number } from '../schemas/units.ts';
import { holdsTagger } from '../steps/checks.ts';

/** `adapter`: the card describes the adapter alone, not the merged model. */
export function modelCard(record: ExperimentRecord, manifest: ModelManifest, from: string, adapter: boolean): string {
  const { digest, template, steps, dataset, settings, base } = manifest;
  const pipeline_tag = holdsTagger(manifest) ? 'token-classification' : 'text-generation';
  return card({ library_name: adapter ? 'peft' : 'transformers', pipeline_tag, tags: ['backspin', record.recipe] }, [
    ...heading(record, from),
    `| digest | \`${digest}\` |`,
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
