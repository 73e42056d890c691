/** Finds the files of a model of the Hugging Face Hub, in the Hub's cache. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { downloadFiles, lookUpRepository, type DownloadFollower, type Repository, type Snapshot } from '../devices/hub.ts';
import type { StepCall } from '../schemas/call.ts';
import type { HubModel } from '../schemas/config.ts';
import { selectFiles, SMALL_FILES } from '../store/models.ts';

export type HubModelName = Pick<HubModel, 'hub' | 'revision'>;

export const isHubModel = ({ operation }: Pick<StepCall, 'operation'>): boolean => operation === 'model:hub';
export const hubModelOf = ({ inputs }: Pick<StepCall, 'inputs'>) => inputs as unknown as Omit<HubModel, 'revision'>;
const repositoryOf = ({ hub, revision }: HubModelName): Repository => ({ kind: 'model', repository: hub, revision });

/** Resolves the name and downloads all files but the weights. Throws like `lookUpRepository`. */
export async function lookUpModel(name: HubModelName): Promise<Snapshot & { readonly used: readonly string[] }> {
  const snapshot = await lookUpRepository(repositoryOf(name), SMALL_FILES);
  const names = snapshot.files.map((file) => file.name);
  return { ...snapshot, used: await selectFiles(names, (file) => readFile(join(snapshot.folder, file), 'utf8')) };
}

/** Downloads the files that are used and returns their folder. Throws like `downloadFiles`. */
export async function downloadModel({ hub, commit }: Pick<HubModel, 'hub' | 'commit'>, follower?: DownloadFollower): Promise<string> {
  const snapshot = await lookUpModel({ hub, revision: commit });
  await downloadFiles(repositoryOf({ hub, revision: commit }), snapshot, snapshot.used, follower);
  return snapshot.folder;
}
