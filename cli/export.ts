/** `backspin export NAME [STEP] --to FOLDER`: writes models as Hugging Face folders and datasets as files that `load_dataset` reads, each
 *  with a card; `--push OWNER/NAME` uploads them to the Hub. Needs no server. */
import { copyFile, mkdir, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { runVerb } from '../devices/verb.ts';
import { isRef, type AnyRef, type DatasetRef, type ModelRef } from '../schemas/call.ts';
import { license, type BoundConfig } from '../schemas/config.ts';
import type { ExperimentRecord } from '../schemas/experiment.ts';
import { BackspinError } from '../schemas/errors.ts';
import type { ModelManifest } from '../schemas/store.ts';
import { ifThere, temporary } from '../store/files.ts';
import { pathsOf } from '../store/paths.ts';
import type { Store } from '../store/store.ts';
import { modelCard } from '../experiments/cards.ts';
import { currentRecord } from '../experiments/current.ts';
import { curveOf, makerOf, metricsOf, provenanceOf } from '../experiments/provenance.ts';
import { openHome } from '../host/home-store.ts';
import type { ExportedData } from '../experiments/export-data.ts';
import { experimentOf } from '../experiments/record.ts';
import { findStep } from '../experiments/steps.ts';
import type { Format } from '../experiments/tables/formats.ts';
import { number } from '../schemas/units.ts';
import { push } from './push.ts';
import { modelfileOf } from '../experiments/ollama.ts';

interface Options {
  readonly to?: string;
  readonly push?: string;
  readonly private?: boolean;
  readonly adapter?: boolean;
  readonly ollama?: boolean;
  readonly license?: string;
  readonly format?: Format;
}

export async function run(name: string, wanted: string | undefined, options: Options): Promise<void> {
  const { to, push: repository, adapter = false, format } = options;
  if (to === undefined && repository === undefined)
    throw new BackspinError('ConfigError', 'Say where it goes: --to FOLDER, or --push OWNER/NAME for the Hugging Face Hub, or both.');
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
  const licensed = licenseOf(record, options.license);
  const refs = isRef(result) ? { '': result } : result;
  await checkOptions(store, refs, step?.path ?? name, options);
  // What a killed command leaves in the store's folder for temporary files, `gc` removes.
  const folder = to === undefined ? temporary(pathsOf(store.root).temporary, 'export') : resolve(to);
  if (((await ifThere(readdir(folder))) ?? []).length > 0)
    throw new BackspinError('ConfigError', `${folder} is not empty: give a new folder, so that nothing is mixed up.`);
  const several = Object.keys(refs).length > 1;
  if (several && repository !== undefined)
    throw new BackspinError('ConfigError', `The result has ${Object.keys(refs).join(' and ')}, and a repository holds one: name a step.`);
  const output = step?.stepKey ? await store.output(step.stepKey) : undefined;
  const made = temporary(dirname(folder), basename(folder));
  try {
    await mkdir(made, { recursive: true });
    const lines: string[] = [];
    for (const [label, ref] of Object.entries(refs)) {
      const part = several ? label : '';
      const { file, what } = await write(
        { store, record, output, from: step?.path ?? (label || 'result'), format: format ?? 'jsonl', license: licensed },
        ref,
        join(made, part),
        adapter,
      );
      if (options.ollama) await writeFile(join(made, part, 'Modelfile'), await modelfileOf(join(made, part)));
      lines.push(`${join(folder, part, file)}: ${what}`);
    }
    await rename(made, folder); // all or nothing
    if (to !== undefined) console.log(lines.join('\n'));
    if (to !== undefined && options.ollama) console.log(`ollama create ${name} -f ${join(folder, 'Modelfile')}`);
    const [ref] = Object.values(refs) as [AnyRef];
    const kind = ref.kind === 'model' ? 'model' : 'dataset';
    const message = `${step?.path ?? 'The result'} of ${name}, digest ${ref.digest}`;
    if (repository !== undefined) await push({ kind, repository, folder, private: options.private ?? false, message });
  } finally {
    await rm(made, { recursive: true, force: true });
    if (to === undefined) await rm(folder, { recursive: true, force: true });
  }
}

/** Throws `ConfigError` if an option does not suit what is exported. */
async function checkOptions(
  store: Store,
  refs: Readonly<Record<string, AnyRef>>,
  from: string,
  { adapter = false, format, ollama }: Options,
): Promise<void> {
  for (const ref of Object.values(refs)) {
    if (adapter && (ref.kind !== 'model' || (await store.model(ref)).base === null))
      throw new BackspinError('ConfigError', `The ${ref.kind} ${ref.digest.slice(0, 16)} is no adapter: leave --adapter away.`);
  }
  if (format !== undefined && Object.values(refs).every((ref) => ref.kind === 'model'))
    throw new BackspinError('ConfigError', `${from} is a model, which has one format: leave --format away.`);
  if (ollama && (adapter || Object.values(refs).some((ref) => ref.kind !== 'model')))
    throw new BackspinError('ConfigError', '--ollama goes with a whole model: name a step that trained one, and leave --adapter away.');
}

/** Of the command, else of the experiment file. */
function licenseOf({ config }: ExperimentRecord, given: string | undefined): string | undefined {
  const checked = license.optional().safeParse(given);
  if (!checked.success) throw new BackspinError('ConfigError', `--license: "${given}" must be ${checked.error.issues[0]!.message}.`);
  return given ?? (config as BoundConfig).license;
}

/** The main file of an export ('' for the whole folder), and a description. */
interface Written {
  readonly file: string;
  readonly what: string;
}

async function write(wanted: Omit<ExportedData, 'table' | 'provenance'>, ref: AnyRef, folder: string, adapter: boolean): Promise<Written> {
  const { store, record, from, output } = wanted;
  const maker = record.steps.find(({ path }) => path === from) ?? makerOf(record, ref);
  const exported = { ...wanted, provenance: await provenanceOf(store, record, maker) };
  await mkdir(folder, { recursive: true });
  if (ref.kind === 'model') return writeModel(exported, ref, folder, adapter);
  if (ref.kind === 'dataset') return writeDataset(exported, ref, folder);
  await writeFile(join(folder, 'report.json'), `${JSON.stringify(ref, null, 2)}\n`);
  const numbers = `${Object.keys(ref.metrics).length} numbers`;
  if (!output?.answers) return { file: 'report.json', what: numbers };
  const { what, file } = await writeDataset(exported, output.answers, folder);
  return { file: '', what: `${numbers} in report.json, ${what} of answers in ${file}` };
}

async function writeModel(
  { store, record, from, provenance, license: licensed }: Omit<ExportedData, 'table'>,
  ref: ModelRef,
  folder: string,
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
  const made = provenance.steps.at(-1);
  const metrics = made ? await metricsOf(store, record, made.step, ref) : { rounds: [], own: [] };
  const about = { ...provenance, from, license: licensed, adapter, metrics, curve: made ? await curveOf(store, made.output) : [] };
  await writeFile(join(folder, 'README.md'), modelCard(record, await ancestorsOf(store, manifest), about));
  const what = adapter
    ? 'an adapter (PeftModel.from_pretrained loads it upon its base)'
    : 'a model (AutoModelForCausalLM.from_pretrained loads it)';
  return { file: '', what };
}

/** The model and those that it was trained from in turn, as far as the store has them. */
async function ancestorsOf(store: Store, manifest: ModelManifest): Promise<ModelManifest[]> {
  const parent = manifest.from === null ? undefined : await store.model({ digest: manifest.from }).catch(() => undefined);
  return parent ? [manifest, ...(await ancestorsOf(store, parent))] : [manifest];
}

async function writeDataset(exported: Omit<ExportedData, 'table'>, ref: DatasetRef, folder: string): Promise<Written> {
  const { exportData } = await import('../experiments/export-data.ts'); // loads DuckDB
  const { file, rows, left } = await exportData({ ...exported, table: { label: 'records', ref, layout: 'records' } }, folder);
  return {
    file,
    what: `${number(rows)} records${left > 0 ? `; ${number(left)} lack what ${exported.format} needs and are left out` : ''}`,
  };
}
