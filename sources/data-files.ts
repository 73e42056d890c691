/** Chooses the data files of a dataset repository by the rules that `datasets` has for it: the configurations in its README, else the names
 *  of its files. */
import { matchesGlob } from 'node:path';
import { parse } from 'yaml';
import { z } from 'zod';
import type { HubDataset } from '../recipe/index.ts';

const list = z.union([z.string(), z.array(z.string())]).transform((paths) => [paths].flat());
const configuration = z.looseObject({
  config_name: z.string().default('default'),
  default: z.boolean().default(false),
  data_dir: z.string().optional(),
  data_files: z
    .union([
      list.transform((path) => [{ split: 'train', path }]),
      z.array(z.object({ split: z.string(), path: list })),
      z.record(z.string(), list).transform((splits) => Object.entries(splits).map(([split, path]) => ({ split, path }))),
    ])
    .optional(),
});
type Configuration = z.infer<typeof configuration>;
const UNDERSTOOD = ['config_name', 'default', 'data_dir', 'data_files', 'features', 'description', 'version'];

/** Names of the files, in order, or a sentence about why there are none. `names`: all files of the repository; `readable`: what the source
 *  can read. */
export function dataFilesIn(
  names: readonly string[],
  readme: string,
  { repository, config, split, files }: HubDataset,
  readable: RegExp,
): readonly string[] | string {
  const all = names.filter((name) => !/(^|\/)(\.|__)/.test(name)).toSorted();
  const chosen = files
    ? all.filter((name) => files.some((glob) => matchesGlob(name, glob)))
    : splitOf(all, configurationsIn(readme), config, split, readable);
  if (typeof chosen === 'string') return `${repository} ${chosen}`;
  const read = chosen.filter((name) => readable.test(name));
  if (read.length > 0) return read;
  const wanted = files ? `${files.join(', ')}` : `the split ${split}`;
  const [other] = chosen.length > 0 ? chosen : all.filter((name) => !/\.md$/i.test(name));
  return `${repository} has no file for ${wanted} that this source can read${other === undefined ? '' : `; it has files such as ${other}`}`;
}

function splitOf(
  names: readonly string[],
  configurations: readonly Configuration[],
  config: string | undefined,
  split: string,
  readable: RegExp,
): readonly string[] | string {
  const [only] = configurations;
  const found =
    config === undefined
      ? (configurations.find((one) => one.default || one.config_name === 'default') ?? (configurations.length === 1 ? only : undefined))
      : configurations.find((one) => one.config_name === config);
  const known = configurations.map((one) => one.config_name).join(', ');
  if (!found && config !== undefined)
    return known === '' ? `has no configurations: leave \`config\` out, or name files` : `has no configuration ${config}, but ${known}`;
  if (!found && known !== '') return `has the configurations ${known}: name one as \`config\``;
  const unknown = Object.keys(found ?? {}).find((key) => !UNDERSTOOD.includes(key));
  if (unknown !== undefined)
    return `is to be read with its own setting ${unknown}: name its files (\`files\`), if they can be read without it`;
  const below = found?.data_dir === undefined ? '' : `${found.data_dir.replace(/^\.\//, '').replace(/\/$/, '')}/`;
  const patterns = found?.data_files;
  const splits = patterns
    ? patterns.map((one) => ({ split: one.split, names: names.filter((name) => one.path.some((glob) => isIn(name, `${below}${glob}`))) }))
    : splitsByName(
        readableIn(
          names.filter((name) => name.startsWith(below)),
          readable,
        ),
      );
  const wanted = splits.find((one) => one.split === split);
  return wanted ? wanted.names : `has no split ${split}, but ${splits.map((one) => one.split).join(', ') || 'none'}`;
}

/** The readable names; of a repository without any, all that may be data. */
function readableIn(names: readonly string[], readable: RegExp): readonly string[] {
  const found = names.filter((name) => readable.test(name));
  return found.length > 0 ? found : names.filter((name) => !/\.md$/i.test(name));
}

/** A pattern names a file, a folder or a glob. */
const isIn = (name: string, pattern: string): boolean => {
  const glob = pattern.replace(/^\.\//, '').replace(/\/$/, '');
  return matchesGlob(name, glob) || name.startsWith(`${glob}/`);
};

/** The words that name a split in folders and files. */
const WORDS: Readonly<Record<string, string>> = {
  train: 'train|training',
  validation: 'validation|valid|dev|val',
  test: 'test|testing|eval|evaluation',
};

/** By the first rule that finds a split: `data/SPLIT-00000-of-00001`, folders, names of files; else all files are `train`. */
function splitsByName(names: readonly string[]): readonly { readonly split: string; readonly names: readonly string[] }[] {
  const byWord = (where: (word: string) => RegExp) => (name: string) => Object.keys(WORDS).find((split) => where(WORDS[split]!).test(name));
  const rules: readonly ((name: string) => string | undefined)[] = [
    (name) => /^data\/(\w+(?:\.\w+)*)-\d{5}-of-\d{5}[^/]*$/.exec(name)?.[1],
    byWord((word) => new RegExp(`(^|/)([^/]*[ ._-])?(${word})([ ._-][^/]*)?/`)),
    byWord((word) => new RegExp(`(^|[/ ._0-9-])(${word})([ ._0-9-][^/]*)?$`)),
    () => 'train',
  ];
  for (const rule of rules) {
    const splits = Map.groupBy(names, rule);
    splits.delete(undefined);
    if (splits.size > 0) return [...splits].map(([split, own]) => ({ split: split!, names: own }));
  }
  return [];
}

/** The configurations in the YAML at the head of a README. */
function configurationsIn(readme: string): readonly Configuration[] {
  const [, head = ''] = /^\ufeff?---\r?\n([\s\S]*?)\r?\n---/.exec(readme) ?? [];
  try {
    const { configs } = z.object({ configs: z.array(configuration).default([]) }).parse(parse(head) ?? {});
    return configs;
  } catch {
    return []; // a head that cannot be read has no configurations, as for the Hub
  }
}
