/** The files of a dataset repository are those that `datasets` loads. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import test from 'ava';
import { pythonOf } from '../../devices/python.ts';
import { dataFilesIn } from '../../sources/data-files.ts';
import { TABLES } from '../../sources/tables.ts';
import { temporary } from '../cli/cli.ts';

interface Layout {
  readonly names: readonly string[];
  readonly readme?: string;
  readonly config?: string;
}
const head = (yaml: string) => `---\n${yaml}\n---\n# A dataset\n`;
const layouts: Readonly<Record<string, Layout>> = {
  'shards below data': {
    names: ['data/train-00000-of-00002.parquet', 'data/train-00001-of-00002.parquet', 'data/extra-00000-of-00001.parquet'],
  },
  'files named by splits': { names: ['train.jsonl', 'dev.jsonl', 'my_test.jsonl', 'README.md'] },
  'folders named by splits': { names: ['train/a.csv', 'train/b.csv', 'validation/a.csv', 'images/test/c.csv'] },
  'names that only look like splits': { names: ['trainer.jsonl', 'contest.jsonl', 'latest.jsonl'] },
  'one file': { names: ['openassistant_best_replies.jsonl'] },
  'a hidden folder beside': { names: ['a.jsonl', '.git/b.jsonl', '_old/c.jsonl', '__macosx/d.jsonl'] },
  'data and a default': {
    names: ['a/x.jsonl', 'b/y.jsonl', 'b/z.jsonl'],
    readme: head(
      'configs:\n- config_name: a\n  data_files: a/x.jsonl\n- config_name: b\n  default: true\n  data_files:\n  - split: train\n    path: b/y.jsonl\n  - split: test\n    path: b/z.jsonl',
    ),
  },
  'a configuration by name, with globs': {
    names: ['en/1.parquet', 'en/2.parquet', 'da/1.parquet'],
    readme: head('configs:\n- config_name: en\n  data_files: "en/*.parquet"\n- config_name: da\n  data_files: "da/*"'),
    config: 'da',
  },
  'a configuration that is a folder': {
    names: ['en/train.jsonl', 'en/test.jsonl', 'da/train.jsonl'],
    readme: head('configs:\n- config_name: en\n  data_dir: en\n- config_name: da\n  data_dir: da'),
    config: 'en',
  },
};

test('the splits and files are those of `datasets`, for each way to lay them out', (t) => {
  const root = temporary();
  const asked = Object.values(layouts).map(({ names, readme, config }, number) => {
    const folder = join(root, String(number));
    for (const name of [...names, ...(readme === undefined ? [] : ['README.md'])]) {
      mkdirSync(dirname(join(folder, name)), { recursive: true });
      writeFileSync(join(folder, name), name === 'README.md' ? (readme ?? '') : '{}\n');
    }
    return { folder, config };
  });
  const script = `import json, os, sys
from datasets import load_dataset_builder
found = []
for one in json.loads(sys.argv[1]):
    files = load_dataset_builder(one['folder'], name=one.get('config')).config.data_files
    found.append({str(split): sorted(os.path.relpath(path, one['folder']) for path in paths) for split, paths in files.items()})
print(json.dumps(found))`;
  const env = { ...process.env, HF_HOME: join(root, 'hf'), HF_HUB_OFFLINE: '1' };
  const out = execFileSync(pythonOf().python, ['-c', script, JSON.stringify(asked)], {
    env,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  const theirs = JSON.parse(out.trim().split('\n').at(-1)!) as Record<string, string[]>[];
  for (const [number, [what, { names, readme = '', config }]] of Object.entries(layouts).entries()) {
    for (const [split, files] of Object.entries(theirs[number]!)) {
      const ours = dataFilesIn(names, readme, { repository: 'a/b', revision: 'main', split, config }, TABLES);
      t.deepEqual(typeof ours === 'string' ? ours : ours.toSorted(), files, `${what}, ${split}`);
    }
  }
});

for (const [what, dataset, says] of [
  ['no such split', { split: 'test' }, 'a/b has no split test, but train'],
  ['no such file', { files: ['*.csv'] }, 'a/b has no file for *.csv that this source can read; it has files such as data.jsonl'],
  ['no such configuration', { config: 'da' }, 'a/b has no configurations: leave `config` out, or name files'],
] as const)
  test(`a sentence says what there is: ${what}`, (t) => {
    t.is(
      dataFilesIn(['README.md', 'data.jsonl', 'x.arrow'], '', { repository: 'a/b', revision: 'main', split: 'train', ...dataset }, TABLES),
      says,
    );
  });

test('several configurations without a default, an unknown one, and a setting of their own are told', (t) => {
  const names = ['a.jsonl', 'b.csv'];
  const readme = head('configs:\n- config_name: a\n  data_files: a.jsonl\n- config_name: b\n  data_files: b.csv\n  sep: ";"');
  const of = (config?: string) => dataFilesIn(names, readme, { repository: 'o/d', revision: 'main', split: 'train', config }, TABLES);
  t.is(of(), 'o/d has the configurations a, b: name one as `config`');
  t.is(of('c'), 'o/d has no configuration c, but a, b');
  t.is(of('b'), 'o/d is to be read with its own setting sep: name its files (`files`), if they can be read without it');
  t.deepEqual(of('a'), ['a.jsonl']);
  t.deepEqual(
    dataFilesIn(['data/a.parquet', 'data/b.bin'], '', { repository: 'o/d', revision: 'main', split: 'train', files: ['data/*'] }, TABLES),
    ['data/a.parquet'],
  );
});
