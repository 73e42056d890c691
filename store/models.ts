/** Stores models as folders of files, named by the digest of the files' names and bytes. */
import { constants } from 'node:fs';
import { copyFile, link, open, readdir, readFile, realpath, rename, rm, stat } from 'node:fs/promises';
import { dirname, join, relative, sep } from 'node:path';
import type { ModelRef } from '../schemas/call.ts';
import { BackspinError } from '../schemas/errors.ts';
import { modelManifest, type ModelManifest } from '../schemas/store.ts';
import { canonicalJson, sha256 } from '../schemas/canonical.ts';
import { LocalBlobs, type Blobs } from './blobs.ts';
import { damaged } from './datasets.ts';
import { digestOf } from './digests.ts';
import { codeOf, ifThere, makeFolder, syncFolder, temporary, writeAtomic, writing } from './files.ts';
import type { Paths } from './paths.ts';

/** Name in the model -> path of its file; null: the model does not have it. */
export type Overrides = Readonly<Record<string, string | null>>;
type Files = Readonly<Record<string, string>>;
export type AboutModel = Omit<ModelManifest, 'kind' | 'digest' | 'files'>;

const filesOf = (paths: Paths, digest: string) => join(paths.model(digest), 'files');
const manifestOf = (paths: Paths, digest: string) => join(paths.model(digest), 'manifest.json');

/** Copies the `modelFiles` of a folder into the store and hard-links those that are in the store already. `overrides` replace
 *  files of the folder. Throws `ConfigError` if the folder is not a model. */
export async function putModel(blobs: Blobs, folder: string, about: AboutModel, overrides: Overrides = {}): Promise<ModelRef> {
  const { paths } = blobs;
  const all = Object.entries({ ...(await modelFiles(folder)), ...overrides });
  const sources = new Map(all.flatMap(([name, path]) => (path === null ? [] : [[name, path] as const])));
  const needed = about.base === null ? 'config.json' : 'adapter_config.json';
  if (about.state === 'weights' && !sources.has(needed)) {
    throw new BackspinError('ConfigError', `${folder} has no ${needed}: give the folder of a whole Hugging Face model.`);
  }
  const made = temporary(paths.temporary, 'model');
  try {
    const files = [];
    for (const [name, source] of [...sources].sort(([a], [b]) => (a < b ? -1 : 1))) {
      const path = join(made, 'files', name);
      await makeFolder(dirname(path));
      await copyOrLink(source, path, source.startsWith(paths.root + sep));
      files.push({ name, sha256: await digestOf(path), bytes: (await stat(path)).size });
      await syncFolder(dirname(path));
    }
    const digest = modelDigest(files, about.base);
    const manifest: ModelManifest = { kind: 'model', digest, files, ...about };
    await writeAtomic(join(made, 'manifest.json'), `${canonicalJson(manifest)}\n`);
    await renameIntoPlace(paths, made, digest);
    await blobs.push(paths.model(digest), namesOf(manifest));
    return { kind: 'model', digest };
  } catch (error) {
    throw writing(paths.folders.models, error);
  } finally {
    await rm(made, { recursive: true, force: true });
  }
}

/** `files` are sorted by name. For an adapter the digest also covers its base. */
export const modelDigest = (files: readonly { readonly name: string; readonly sha256: string }[], base: string | null): string =>
  sha256([...files.map((file) => `${file.name} ${file.sha256}\n`), base === null ? '' : `base ${base}\n`].join(''));

/** The first writer wins, unless the existing model has lost files. */
async function renameIntoPlace(paths: Paths, made: string, digest: string): Promise<void> {
  const home = paths.model(digest);
  for (;;) {
    try {
      await rename(made, home);
      return await syncFolder(paths.folders.models);
    } catch (error) {
      if (codeOf(error) !== 'ENOTEMPTY' && codeOf(error) !== 'EEXIST') throw error;
    }
    if (await hasModel(new LocalBlobs(paths), digest)) return;
    const broken = temporary(paths.temporary, 'broken');
    await ifThere(rename(home, broken));
    await rm(broken, { recursive: true, force: true });
  }
}

/** The files of a model folder that a program needs to train or serve it, see `selectFiles`. */
export async function modelFiles(folder: string): Promise<Files> {
  return (await modelParts(folder)).taken;
}
/** Returns the files and the names of those that it leaves out. `folder` may be a GGUF file: it is the model. */
export async function modelParts(folder: string): Promise<{ readonly taken: Files; readonly leftOut: readonly string[] }> {
  if ((await ifThere(stat(folder)))?.isFile()) return { taken: { 'model.gguf': folder }, leftOut: [] };
  const all = await filesIn(folder);
  const names = await selectFiles([...all.keys()], (name) => readFile(all.get(name)!, 'utf8'));
  const taken = [...all].filter(([name]) => names.includes(name));
  return { taken: Object.fromEntries(taken), leftOut: [...all.keys()].filter((name) => !names.includes(name)) };
}

/** Files beside the weights: configuration, tokenizer and chat template, the modules of an encoder, and code. */
export const SMALL_FILES =
  /^(?!(README|LICENSE|NOTICE|USE_POLICY|requirements|trainer_state|training_args|[^/]*_results)\b)([^/.][^/]*\.(json|jinja|txt|model|tiktoken|spm|bpe|codes|py)|\d+_\w+\/.+|additional_chat_templates\/[^/]+\.jinja)$/i;
const SAFE = /^[^/]+\.safetensors$/;
/** Weights of PyTorch's old format, which an import writes as safetensors. */
export const PICKLED = /^pytorch_model[^/]*\.bin$/;
export const PICKLED_INDEX = 'pytorch_model.bin.index.json';
const OTHER_INDEX = /\.(h5|msgpack|bin)\.index\.json$/;

/** Of the files of a repository or folder, those that a model consists of: the `SMALL_FILES` and one copy of the weights, as safetensors if
 *  there are any. `read` returns the text of a small file. */
export async function selectFiles(names: readonly string[], read: (name: string) => Promise<string>): Promise<string[]> {
  const shards = await weightsIn(names, SAFE, 'model.safetensors.index.json', /^(adapter_)?model\.safetensors$/, read);
  const pickled = shards.length > 0 ? [] : await weightsIn(names, PICKLED, PICKLED_INDEX, /^pytorch_model\.bin$/, read);
  const index = (name: string) => pickled.length > 0 && name === PICKLED_INDEX;
  return names.filter(
    (name) => shards.includes(name) || pickled.includes(name) || index(name) || (SMALL_FILES.test(name) && !OTHER_INDEX.test(name)),
  );
}

/** The files of weights that an index names, or the usual ones. Without either, all that look so. */
async function weightsIn(
  names: readonly string[],
  weights: RegExp,
  index: string,
  usual: RegExp,
  read: (name: string) => Promise<string>,
): Promise<readonly string[]> {
  const named = names.includes(index) ? shardsOf(await read(index)) : [];
  if (named.length > 0 && named.every((name) => names.includes(name))) return named;
  const all = names.filter((name) => weights.test(name));
  const chosen = names.includes(index) ? [] : all.filter((name) => usual.test(name));
  return chosen.length > 0 ? chosen : all;
}
function shardsOf(index: string): string[] {
  try {
    return [...new Set(Object.values((JSON.parse(index) as { weight_map: Record<string, string> }).weight_map))];
  } catch {
    return []; // not an index: leave nothing out
  }
}

/** The folder that a model folder's files may be in: itself, or the repository that the Hub's cache keeps it for, which has the files under
 *  their digests and links to them from each snapshot. */
export function linkableFolder(folder: string): string {
  const [, repository] = /^(.*\/models--[^/]+)\/snapshots\/[^/]+$/.exec(folder) ?? [];
  return repository ?? folder;
}

/** Name in the folder -> real path, for every file. */
async function filesIn(folder: string): Promise<Map<string, string>> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true }).catch((error: unknown) => {
    throw new BackspinError('ConfigError', `The model folder ${folder} cannot be read (${codeOf(error)}): check its path.`, {
      cause: error,
    });
  });
  const home = linkableFolder(await realpath(folder));
  const files = new Map<string, string>();
  for (const entry of entries) {
    if (entry.isDirectory()) continue;
    const path = join(entry.parentPath, entry.name);
    const real = await ifThere(realpath(path));
    if (real === undefined || !real.startsWith(home + sep)) {
      throw new BackspinError(
        'ConfigError',
        `${path} links to a file outside its folder: give a folder that holds the files themselves (\`cp -rL\` makes one).`,
      );
    }
    if (!(await stat(real)).isFile()) throw new BackspinError('ConfigError', `${path} is no plain file: give a folder of plain files.`);
    files.set(relative(folder, path).split(sep).join('/'), real);
  }
  return files;
}

/** Links only files of the store. A hard link shares its bytes, and others may write to files outside the store. */
async function copyOrLink(source: string, path: string, linked: boolean): Promise<void> {
  if (linked) await link(source, path);
  else await copyFile(source, path, constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE);
  const file = await open(path, 'r');
  try {
    await file.sync();
  } finally {
    await file.close();
  }
}

/** The files of a model's folder in the store. The manifest is last: a model without one is not there. */
const namesOf = ({ files }: ModelManifest): string[] => [...files.map(({ name }) => `files/${name}`), 'manifest.json'];

/** Throws `ArtifactMissing`, or `ArtifactDamaged` if the manifest is unreadable. */
export async function readModel(blobs: Blobs, digest: string): Promise<ModelManifest> {
  const path = manifestOf(blobs.paths, digest);
  const bytes = await blobs.read(path);
  if (!bytes)
    throw new BackspinError(
      'ArtifactMissing',
      `The model ${digest} is not in ${blobs.nameOf(blobs.paths.folders.models)}: launch the experiment that made it again, and it is made again.`,
    );
  let manifest: ModelManifest;
  try {
    manifest = modelManifest.parse(JSON.parse(bytes.toString()));
  } catch (error) {
    throw damaged(blobs.nameOf(path), 'is no manifest of a model', { cause: error });
  }
  if (manifest.digest !== digest) throw damaged(blobs.nameOf(path), 'is the manifest of another model');
  return manifest;
}

/** Whether all files exist with the right sizes and no others, also those of an adapter's base. Does not read their bytes. */
export async function hasModel(blobs: Blobs, digest: string): Promise<boolean> {
  try {
    const { files, base } = await readModel(blobs, digest);
    const sizes = await blobs.sizes(filesOf(blobs.paths, digest));
    if (sizes.size !== files.length || files.some(({ name, bytes }) => sizes.get(name) !== bytes)) return false;
    return base === null || (await hasModel(blobs, base));
  } catch (error) {
    if (error instanceof BackspinError && (error.type === 'ArtifactMissing' || error.type === 'ArtifactDamaged')) return false;
    throw error;
  }
}

/** Names, sizes and times of the files as one text. Throws if a file is missing, has another size, or does not belong to the model. */
async function fileStamps(paths: Paths, manifest: ModelManifest): Promise<string> {
  const folder = filesOf(paths, manifest.digest);
  const stamps = [];
  for (const { name, bytes } of manifest.files) {
    const path = join(folder, name);
    const stats = await ifThere(stat(path));
    if (!stats)
      throw new BackspinError(
        'ArtifactMissing',
        `${path} is not there: launch the experiment that made this model again, and it is made again.`,
      );
    if (stats.size !== bytes) throw damaged(path, `has ${stats.size} bytes and not ${bytes}`);
    stamps.push(`${name} ${stats.size} ${stats.mtimeMs}`);
  }
  for (const name of (await filesIn(folder)).keys()) {
    if (!manifest.files.some((file) => file.name === name)) throw damaged(join(folder, name), 'does not belong to this model');
  }
  return stamps.join('\n');
}

/** Returns model folders after checking the digests of their files. Checks again only if a file changes. */
export class ModelFolders {
  readonly #blobs: Blobs;
  readonly #verified = new Map<string, { readonly seen: string; readonly done: Promise<void> }>();

  constructor(blobs: Blobs) {
    this.#blobs = blobs;
  }

  /** Brings it from the store anew if the copy on this host is damaged. */
  async of(digest: string): Promise<string> {
    const manifest = await readModel(this.#blobs, digest);
    const folder = this.#blobs.paths.model(digest);
    try {
      return await this.#whole(manifest, folder);
    } catch (error) {
      if (!(error instanceof BackspinError && (await this.#blobs.discard(folder)))) throw error;
      return this.#whole(manifest, folder);
    }
  }

  async #whole(manifest: ModelManifest, folder: string): Promise<string> {
    const { digest } = manifest;
    await this.#blobs.pull(folder, namesOf(manifest));
    const seen = await fileStamps(this.#blobs.paths, manifest);
    let verified = this.#verified.get(digest);
    if (verified?.seen !== seen) {
      verified = { seen, done: this.#verify(manifest) };
      this.#verified.set(digest, verified);
      verified.done.catch(() => this.#verified.delete(digest));
    }
    await verified.done;
    return filesOf(this.#blobs.paths, digest);
  }

  async #verify({ digest, files }: ModelManifest): Promise<void> {
    for (const { name, sha256: wanted } of files) {
      const path = join(filesOf(this.#blobs.paths, digest), name);
      if ((await digestOf(path)) !== wanted) throw damaged(path, 'holds other bytes than its manifest says');
    }
  }
}
