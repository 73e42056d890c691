/** Reads rows from datasets on the Hugging Face Hub. */
import { z } from 'zod';
import { source } from '../recipe/index.ts';
import { revision } from '../schemas/config.ts';
import { formatOrFields, paths, rowParams, rowsOf } from './table.ts';
import type { Values } from './lines.ts';
import { TABLES } from './tables.ts';

/** A dataset on the Hub, and which of its files. */
export const hubDataset = {
  repository: z.string().describe('The name of a dataset on the Hugging Face Hub, such as timdettmers/openassistant-guanaco.'),
  revision: revision.default('main'),
  config: z.string().optional().describe('A configuration of the dataset. Default: its own default, or its only one.'),
  split: z.string().default('train').describe('A split of the dataset.'),
  files: paths.optional().describe('Globs of names in the repository, such as data/*.parquet, in place of `config` and `split`.'),
};
export const filesOrConfig = z.refine<{ files?: unknown; config?: unknown }>(({ files, config }) => !files || !config, {
  path: ['files'],
  error: '`files` names the files; leave `config` out',
});

const params = z.strictObject({ ...hubDataset, ...rowParams }).check(formatOrFields, filesOrConfig);

/** Yields one object per row, as `table` does. */
export const hub = source<Values, z.infer<typeof params>>({
  version: 2,
  output: z.record(z.string(), z.unknown()),
  params,
  endings: TABLES,
  hub: ({ repository, revision, config, split, files }) => ({ repository, revision, config, split, files }),
  rows: rowsOf,
});
