/** `backspin export NAME [STEP] --to FOLDER`: writes models as Hugging Face folders and datasets as JSONL, each with a card. Needs no
 *  server. */
import { createWriteStream } from 'node:fs';
import { copyFile, mkdir, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { runVerb } from '../devices/verb.ts';
import { isRef, type AnyRef, type DatasetRef, type ModelRef } from '../schemas/call.ts';
import type { ExperimentRecord } from '../schemas/experiment.ts';
import { BackspinError } from '../schemas/errors.ts';
import type { ModelManifest } from '../schemas/store.ts';
import { ifThere, temporary } from '../store/files.ts';
import type { Store } from '../store/store.ts';
import { datasetCard, modelCard } from '../experiments/cards.ts';
import { currentRecord } from '../experiments/current.ts';
import { openHome } from '../host/home-store.ts';
import { experimentOf } from '../experiments/record.ts';
import { findStep } from '../experiments/steps.ts';
import { number } from '../schemas/units.ts';

interface Options {
  readonly to: string;
  readonly adapter?: boolean;
}

export async function run(name: string, wanted: string | undefined, { to, adapter = false }: Options): Promise<void> {
  const store = await openHome();
  const record = await currentRecord(await experimentOf(store, name));
  const step = wanted === undefined ? undefined : findStep(record, wanted);
  const result = step ? step.result : record.result;
  if (result === null) {
    throw new BackspinError(
      'NotFound',
      step
        ? `The step ${step.path} has no result yet (${step.state}).`
        : `The experiment ${name} has no result (${record.state}): name a step, as \`backspin status ${name}\` lists them.`,
    );
  }
  const refs = isRef(result) ? { '': result } : result;
  for (const ref of Object.values(refs)) {
    if (adapter && (ref.kind !== 'model' || (await store.model(ref)).base === null))
      throw new BackspinError('ConfigError', `The ${ref.kind} ${ref.digest.slice(0, 16)} is no adapter: leave --adapter away.`);
  }
  const folder = resolve(to);
  if (((await ifThere(readdir(folder))) ?? []).length > 0)
    throw new BackspinError('ConfigError', `${folder} is not empty: give a new folder, so that nothing is mixed up.`);
  const several = Object.keys(refs).length > 1;
  const answers = step?.stepKey ? (await store.output(step.stepKey))?.answers : undefined;
  const made = temporary(dirname(folder), basename(folder));
  try {
    await mkdir(made, { recursive: true });
    const lines: string[] = [];
    for (const [label, ref] of Object.entries(refs)) {
      const part = several ? label : '';
      const { file, what } = await write(store, record, ref, join(made, part), step?.path ?? label, adapter, answers);
      lines.push(`${join(folder, part, file)}: ${what}`);
    }
    await rename(made, folder); // all or nothing
    console.log(lines.join('\n'));
  } finally {
    await rm(made, { recursive: true, force: true });
  }
}

/** The main file of an export ('' for the whole folder), and a description. */
interface Written {
  readonly file: string;
  readonly what: string;
}

async function write(
  store: Store,
  record: ExperimentRecord,
  ref: AnyRef,
  folder: string,
  from: string,
  adapter: boolean,
  answers?: DatasetRef,
): Promise<Written> {
  await mkdir(folder, { recursive: true });
  if (ref.kind === 'model') return writeModel(store, record, ref, folder, from, adapter);
  if (ref.kind === 'dataset') return writeDataset(store, record, ref, folder, from);
  await writeFile(join(folder, 'report.json'), `${JSON.stringify(ref, null, 2)}\n`);
  const numbers = `${Object.keys(ref.metrics).length} numbers`;
  if (!answers) return { file: 'report.json', what: numbers };
  const { what } = await writeDataset(store, record, answers, folder, from);
  return { file: '', what: `${numbers} in report.json, ${what} of answers in data.jsonl` };
}

async function writeModel(
  store: Store,
  record: ExperimentRecord,
  ref: ModelRef,
  folder: string,
  from: string,
  adapter: boolean,
): Promise<Written> {
  const manifest = await store.model(ref);
  if (manifest.state === 'external')
    throw new BackspinError('ConfigError', `${from} is an external model: its weights are not here, so there is nothing to export.`);
  const source = await store.modelFolder(ref);
  if (manifest.base !== null && !adapter)
    await runVerb('merge', { adapter: source, base: await store.modelFolder({ digest: manifest.base }), to: folder });
  else
    for (const { name } of manifest.files) {
      await mkdir(dirname(join(folder, name)), { recursive: true });
      await copyFile(join(source, name), join(folder, name));
    }
  await writeFile(join(folder, 'README.md'), modelCard(record, await lineageOf(store, manifest), from, adapter));
  const what = adapter
    ? 'an adapter (PeftModel.from_pretrained loads it upon its base)'
    : 'a model (AutoModelForCausalLM.from_pretrained loads it)';
  return { file: '', what };
}

/** The model and those that it was trained from in turn, as far as the store has them. */
async function lineageOf(store: Store, manifest: ModelManifest): Promise<ModelManifest[]> {
  const parent = manifest.from === null ? undefined : await store.model({ digest: manifest.from }).catch(() => undefined);
  return parent ? [manifest, ...(await lineageOf(store, parent))] : [manifest];
}

async function writeDataset(store: Store, record: ExperimentRecord, ref: DatasetRef, folder: string, from: string): Promise<Written> {
  const features = new Map<string, Set<string>>();
  async function* lines() {
    for await (const { id, value } of store.read(ref)) {
      const row = { id, ...(value as object) };
      for (const [key, x] of Object.entries(row)) features.set(key, (features.get(key) ?? new Set()).add(typeOf(x)));
      yield `${JSON.stringify(row)}\n`;
    }
  }
  await pipeline(lines, createWriteStream(join(folder, 'data.jsonl')));
  await writeFile(join(folder, 'README.md'), datasetCard(record, await store.dataset(ref), features, from));
  return { file: 'data.jsonl', what: `${number(ref.rows)} records` };
}
const typeOf = (x: unknown): string =>
  x === null ? 'null' : Array.isArray(x) ? 'list' : typeof x === 'number' ? 'float64' : typeof x === 'boolean' ? 'bool' : typeof x;
