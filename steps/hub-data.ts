/** Finds the files of a dataset of the Hugging Face Hub, in the Hub's cache. */
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { downloadFiles, lookUpRepository, type DownloadFollower, type Repository, type Snapshot } from '../devices/hub.ts';
import type { HubDataset } from '../recipe/define.ts';
import type { StepCall } from '../schemas/call.ts';
import { BackspinError } from '../schemas/errors.ts';
import { dataFilesIn } from '../sources/data-files.ts';
import { checkParams, isSource, sourceOf } from './definitions.ts';
import type { Registry } from './registry.ts';
import type { AnySource } from './resolved.ts';

const repositoryOf = ({ repository, revision }: HubDataset): Repository => ({ kind: 'dataset', repository, revision });

/** The dataset that a source reads, at the commit of the launch; undefined: it reads no dataset of the Hub. */
export function hubDatasetOf(call: StepCall, registry: Registry): HubDataset | undefined {
  const { commit } = call.inputs as { commit?: string };
  const dataset = isSource(call) ? sourceOf(call, registry).hub?.(checkParams(call, registry)) : undefined;
  return dataset && commit !== undefined ? { ...dataset, revision: commit } : dataset;
}

/** Resolves the name and chooses the files. Throws `ConfigError` if there are none, and like `lookUpRepository`. */
export async function lookUpDataset(
  dataset: HubDataset,
  { endings = /./ }: Pick<AnySource, 'endings'>,
): Promise<Snapshot & { readonly used: readonly string[] }> {
  const snapshot = await lookUpRepository(repositoryOf(dataset), /^README\.md$/);
  const readme = await readFile(join(snapshot.folder, 'README.md'), 'utf8').catch(() => '');
  const names = snapshot.files.map(({ name }) => name);
  const used = dataFilesIn(names, readme, dataset, endings);
  if (typeof used === 'string') throw new BackspinError('ConfigError', `The dataset ${used}.`);
  return { ...snapshot, used };
}

/** Downloads the files and returns their paths. Throws like `lookUpDataset` and `downloadFiles`. */
export async function downloadDataset(
  dataset: HubDataset,
  source: Pick<AnySource, 'endings'>,
  follower?: DownloadFollower,
): Promise<string[]> {
  const snapshot = await lookUpDataset(dataset, source);
  await downloadFiles(repositoryOf(dataset), snapshot, snapshot.used, follower);
  return snapshot.used.map((name) => join(snapshot.folder, name));
}

/** Bytes up to which a plan downloads the files of a dataset to read them. */
const SMALL = 2 ** 26;
/** Whether the files are in the Hub's cache, or small enough to download for a plan. */
export async function isAtHand(dataset: HubDataset, source: Pick<AnySource, 'endings'>): Promise<boolean> {
  const { used, files, folder } = await lookUpDataset(dataset, source);
  const missing = files.filter(({ name }) => used.includes(name) && !existsSync(join(folder, name)));
  return missing.reduce((sum, { bytes }) => sum + bytes, 0) <= SMALL;
}
