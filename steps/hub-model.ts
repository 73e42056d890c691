/** Finds the files of a model of the Hugging Face Hub, in the Hub's cache. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { isGguf } from '../devices/gguf.ts';
import { downloadFiles, lookUpRepository, type DownloadFollower, type Repository, type Snapshot } from '../devices/hub.ts';
import type { StepCall } from '../schemas/call.ts';
import type { HubModel } from '../schemas/config.ts';
import { BackspinError } from '../schemas/errors.ts';
import { selectFiles, SMALL_FILES } from '../store/models.ts';

export type HubModelName = Pick<HubModel, 'hub' | 'revision' | 'file'>;

export const isHubModel = ({ operation }: Pick<StepCall, 'operation'>): boolean => operation === 'model:hub';
export const hubModelOf = ({ inputs }: Pick<StepCall, 'inputs'>) => inputs as unknown as Omit<HubModel, 'revision'>;
const repositoryOf = ({ hub, revision }: HubModelName): Repository => ({ kind: 'model', repository: hub, revision });

/** Resolves the name and downloads all files but the weights. Throws like `lookUpRepository`, and `ConfigError` for a GGUF file that the
 *  repository does not have. */
export async function lookUpModel(name: HubModelName): Promise<Snapshot & { readonly used: readonly string[] }> {
  const { file } = name;
  const snapshot = await lookUpRepository(repositoryOf(name), file === undefined ? SMALL_FILES : NOTHING);
  const names = snapshot.files.map(({ name: one }) => one);
  if (file !== undefined && !names.includes(file)) throw noFile(name.hub, file, names.filter(isGguf));
  if (file !== undefined) return { ...snapshot, used: [file] };
  return { ...snapshot, used: await selectFiles(names, (file) => readFile(join(snapshot.folder, file), 'utf8')) };
}

const NOTHING = /$^/;

const noFile = (hub: string, file: string, others: readonly string[]) =>
  new BackspinError('ConfigError', `${hub} has no file ${file}; its GGUF files are ${others.join(', ') || 'none'}.`);

/** Downloads the files that are used. Returns their folder, or the GGUF file. Throws like `lookUpModel` and `downloadFiles`. */
export async function downloadModel(
  { hub, commit, ...rest }: Pick<HubModel, 'hub' | 'commit' | 'file'>,
  follower?: DownloadFollower,
): Promise<string> {
  const name = { ...rest, hub, revision: commit };
  const snapshot = await lookUpModel(name);
  await downloadFiles(repositoryOf(name), snapshot, snapshot.used, follower);
  return rest.file === undefined ? snapshot.folder : join(snapshot.folder, rest.file);
}
