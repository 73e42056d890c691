/** Converts models in GGUF files with the trainer's Python. */
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, realpath, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { canonicalJson, sha256 } from '../schemas/canonical.ts';
import { pythonOf, trainerIdentity } from './python.ts';
import { cacheFolder } from './installation.ts';
import { runVerb } from './verb.ts';

export const isGguf = (path: string): boolean => /\.gguf$/i.test(path);

/** Beside the small files of a model: the bytes that its weights will have. */
const WEIGHTS = 'weights.json';
const CACHE = cacheFolder('gguf');

/** Returns a folder with config, tokenizer and chat template of the model in a file, which a plan and the checks of a file read. It is
 *  made once for a path, size and time. Throws `ConfigError` for what cannot be converted. */
export async function smallFilesOf(file: string): Promise<string> {
  const { size, mtimeMs } = await stat(file);
  const { gguf } = await trainerIdentity(pythonOf());
  const folder = join(CACHE, sha256(canonicalJson({ gguf, file: await realpath(file), size, mtimeMs })).slice(0, 32));
  if (existsSync(folder)) return folder;
  await mkdir(CACHE, { recursive: true });
  const scratch = await mkdtemp(`${folder}-`);
  try {
    const to = join(scratch, 'model');
    await runVerb('gguf', { file, to, weights: false });
    await rename(to, folder).catch((error: unknown) => {
      if (!existsSync(folder)) throw error; // another process was faster
    });
    return folder;
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

/** Bytes of the weights, from the folder of the small files. */
export const weightBytesIn = async (folder: string): Promise<number> =>
  (JSON.parse(await readFile(join(folder, WEIGHTS), 'utf8')) as { bytes: number }).bytes;

/** Writes the whole model to the new folder `to`. Throws `ConfigError` for what cannot be converted. */
export const convertGguf = (file: string, to: string): Promise<void> => runVerb('gguf', { file, to, weights: true });
