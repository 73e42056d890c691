/** Exports of what each recipe makes, in every format, read back by `datasets` and `huggingface_hub`. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { exportData } from '../../experiments/export-data.ts';
import { formats, type Format } from '../../experiments/tables/formats.ts';
import { tablesOf, type StepTable } from '../../experiments/tables/steps.ts';
import { provenanceOf } from '../../experiments/provenance.ts';
import { readSetup } from '../../host/setup.ts';
import { recipes } from '../../workflows/recipes/index.ts';
import type { DatasetRef } from '../../schemas/call.ts';
import type { ExperimentRecord, Step } from '../../schemas/experiment.ts';
import type { Output } from '../../schemas/store.ts';
import type { Store } from '../../store/store.ts';
import { humpback } from '../support/humpback.ts';
import type { Ran, Stage } from '../support/recipe.ts';
import { keepRecord } from '../support/staged.ts';

type Value = Readonly<Record<string, unknown>>;
interface Staged {
  readonly made: Pick<Stage, 'bench'>;
  readonly ran: Pick<Ran, 'performed' | 'given'>;
}
const staged: Readonly<Record<string, () => Promise<Staged>>> = {
  humpback: async () => {
    const made = await humpback();
    return { made, ran: await made.run({ arms: ['random'] }) };
  },
  main: () => import('../support/main.ts'),
  'cycle-instruct': () => import('../support/cycle-instruct.ts'),
  musc: async () => {
    const made = await import('../support/musc.ts');
    return { made: made.made, ran: await made.run() };
  },
  'back-and-forth': () => import('../support/back-and-forth.ts'),
  kun: () => import('../support/kun.ts'),
  tegit: () => import('../support/tegit.ts'),
  air: () => import('../support/air.ts'),
  'self-lengthen': () => import('../support/self-lengthen.ts'),
  crab: () => import('../support/crab.ts'),
  linguist: () => import('../support/linguist.ts'),
};

/** The question and the answer of a record, by the names that docs/operating.md has. */
const asked = (value: Value) => ['instruction', 'prompt', 'question'].find((field) => field in value);
const answered = (value: Value) => ['response', 'answer', 'output', 'completion', 'reply', 'text'].find((field) => field in value);
const turnsOf = (value: Value) => value['messages'] as readonly { readonly role: string; readonly content: string }[] | undefined;
const names: Readonly<Record<string, string>> = { user: 'human', assistant: 'gpt' };

/** What a row of a format must be; `none`: the record lacks it; undefined: records of this kind have no such form. */
function rowOf(format: Format, value: Value): Value | 'none' | undefined {
  if (format === 'jsonl' || format === 'parquet') return value;
  const question = asked(value);
  const text = (field: string) => value[field] as string;
  const prompt = question && (question === 'instruction' && value['input'] ? `${text(question)}\n\n${text('input')}` : text(question));
  const turn = (role: string, content: unknown) => [{ role, content }];
  if (format === 'trl-dpo') {
    if (!question || !('chosen' in value)) return undefined;
    const side = (which: string) => (value[which] as { text?: string }).text ?? value[which];
    return { prompt: turn('user', prompt), chosen: turn('assistant', side('chosen')), rejected: turn('assistant', side('rejected')) };
  }
  const answer = answered(value);
  if (question && answer) {
    if (value[question] === null || value[answer] === null) return 'none';
    if (format === 'alpaca') return { instruction: value[question], input: value['input'] ?? '', output: value[answer] };
    if (format === 'trl-sft') return { prompt: turn('user', prompt), completion: turn('assistant', value[answer]) };
    return {
      conversations: [
        { from: 'human', value: prompt },
        { from: 'gpt', value: value[answer] },
      ],
    };
  }
  const messages = turnsOf(value);
  if (!messages || format === 'alpaca') return undefined;
  if (messages.at(-1)?.role !== 'assistant') return 'none';
  if (format === 'trl-sft') return { prompt: messages.slice(0, -1), completion: messages.slice(-1) };
  return { conversations: messages.map(({ role, content }) => ({ from: names[role] ?? role, value: content })) };
}

/** Whether a value came back: nulls may stand for what a record lacks, and JSON text for values of several types. */
function isSame(stored: unknown, loaded: unknown): boolean {
  if (stored === undefined || stored === null) return loaded === null || loaded === undefined || loaded === 'null';
  if (typeof loaded === 'string' && typeof stored !== 'string') return isSame(stored, JSON.parse(loaded));
  if (typeof stored === 'string' && typeof loaded === 'string')
    return loaded === stored.toWellFormed() || loaded === JSON.stringify(stored);
  if (typeof stored === 'number') return typeof loaded === 'number' && Math.abs(stored - loaded) <= 1e-15 * Math.abs(stored);
  if (Array.isArray(stored))
    return Array.isArray(loaded) && stored.length === loaded.length && stored.every((one, at) => isSame(one, loaded[at]));
  if (typeof stored !== 'object') return stored === loaded;
  if (typeof loaded !== 'object' || loaded === null) return false;
  return [...new Set([...Object.keys(stored), ...Object.keys(loaded)])].every((field) =>
    isSame((stored as Value)[field], (loaded as Value)[field]),
  );
}

const READ = `
import json, sys
from datasets import load_dataset
from huggingface_hub import DatasetCard
cache, list_of, to = sys.argv[1:]
with open(to, 'w') as out:
    for folder in json.load(open(list_of)):
        card = DatasetCard.load(folder + '/README.md')
        configs = [one['config_name'] for one in card.data.to_dict()['configs']]
        loaded = {name: load_dataset(folder, name, split='train', cache_dir=cache).to_list() for name in configs}
        out.write(json.dumps(loaded) + '\\n')
`;

interface Exported {
  readonly folder: string;
  readonly what: string;
  readonly rows: readonly Value[];
  readonly dropped: number | undefined;
}

/** Of the tables of a recipe whose records have the same fields, the largest. */
async function examples(store: Store, record: ExperimentRecord) {
  const found = new Map<
    string,
    { readonly step: Step; readonly output: Output; readonly table: StepTable; readonly values: readonly Value[] }
  >();
  for (const step of record.steps) {
    const output = await store.output(step.stepKey!);
    for (const table of output ? tablesOf(step, output) : []) {
      if (table.layout === 'values' || table.ref.rows === 0) continue;
      const values: Value[] = [];
      for await (const { value } of store.read(table.ref)) values.push(value as Value);
      const fields = [...new Set(values.flatMap(Object.keys)), output!.droppedRecords ? 'dropped' : ''].join();
      if ((found.get(fields)?.values.length ?? 0) < values.length) found.set(fields, { step, output: output!, table, values });
    }
  }
  return [...found.values()];
}

const scratch = mkdtempSync(join(tmpdir(), 'backspin-exports-'));

test('every recipe is tried', (t) => {
  t.deepEqual(
    Object.keys(staged).toSorted(),
    Object.keys(recipes)
      .filter((name) => !['pretrain', 'trial'].includes(name))
      .toSorted(),
  );
});

test('load_dataset gives the records of every step of every recipe, in every format that can hold them; others are refused', async (t) => {
  t.timeout(1_200_000);
  const exports: Exported[] = [];
  const withoutTrl = new Set<string>();
  for (const [recipe, play] of Object.entries(staged)) {
    const { made, ran } = await play();
    const { store } = made.bench.services;
    const record = await keepRecord(recipe, made, ran);
    for (const { call } of ran.performed) {
      const { data } = call.inputs;
      if (call.verb !== 'train' || !data) continue;
      for await (const { value } of store.read(data as DatasetRef, { from: 0, to: 1 }))
        if (!rowOf('trl-sft', value as Value) && !rowOf('trl-dpo', value as Value)) withoutTrl.add(recipe);
    }
    for (const { step, output, table, values } of await examples(store, record)) {
      const holding = formats.filter((format) => values.some((value) => rowOf(format, value) !== undefined));
      const provenance = await provenanceOf(store, record, step);
      for (const format of formats) {
        const what = `${recipe} ${step.path} ${table.label} as ${format}`;
        const folder = join(scratch, `${exports.length}`);
        mkdirSync(folder, { recursive: true });
        const about = { store, record, table, output, from: step.path, format, provenance, license: undefined };
        if (!holding.includes(format)) {
          const { message } = await t.throwsAsync(exportData(about, folder), { name: 'ConfigError' }, what);
          t.true(message.includes(`Export them as ${holding.slice(0, -1).join(', ')} or ${holding.at(-1)},`), `${what}: ${message}`);
          continue;
        }
        await exportData(about, folder);
        const rows = values.map((value) => rowOf(format, value)).filter((row): row is Value => row !== 'none' && row !== undefined);
        exports.push({ folder, what, rows, dropped: output.droppedRecords?.rows });
      }
    }
  }
  t.deepEqual([...withoutTrl], ['linguist'], 'what all other recipes train on, TRL can read');
  writeFileSync(join(scratch, 'folders.json'), JSON.stringify(exports.map(({ folder }) => folder)));
  const env = { ...process.env, HF_HUB_OFFLINE: '1', HF_HUB_DISABLE_TELEMETRY: '1', HF_HOME: join(scratch, 'hf') };
  const to = join(scratch, 'loaded.jsonl');
  execFileSync(readSetup().python, ['-c', READ, join(scratch, 'cache'), join(scratch, 'folders.json'), to], {
    env,
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  const loaded = readFileSync(to, 'utf8').trimEnd().split('\n');
  t.is(loaded.length, exports.length);
  for (const [at, { what, rows, dropped }] of exports.entries()) {
    const { default: got, dropped: gone } = JSON.parse(loaded[at]!) as Record<string, readonly Value[] | undefined>;
    t.is(got!.length, rows.length, what);
    t.is(gone?.length, dropped, what);
    const differs = rows.findIndex((row, n) => !isSame(row, withoutId(row, got![n]!)));
    t.is(differs, -1, `${what}: ${JSON.stringify(rows[differs])} came back as ${JSON.stringify(got![differs])}`);
  }
});

/** The id is of the record, unless the value has one too. */
function withoutId(row: Value, { id, value_id, ...loaded }: Value): Value {
  return 'id' in row ? { ...loaded, id: value_id } : loaded;
}
