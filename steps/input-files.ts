/** Lists and hashes the files outside the store that a source or an imported model reads. */
import { existsSync, globSync, statSync } from 'node:fs';
import { resolve as resolvePath } from 'node:path';
import { harnessIdentity } from '../devices/lm-eval.ts';
import type { StepCall } from '../schemas/call.ts';
import { BackspinError } from '../schemas/errors.ts';
import { Unread } from '../store/digests.ts';
import { modelFiles } from '../store/models.ts';
import { isImport, isSource, sourceOf } from './definitions.ts';
import { hubDatasetOf } from './hub-data.ts';
import type { Machine } from './machine.ts';
import type { Registry } from './registry.ts';
import type { Resolved } from './resolved.ts';

/** sha256 of each file: a list for a source, by name for a model. Throws `ConfigError` for an unreadable file. */
export async function fileDigests(call: StepCall, registry: Registry, params: object, machine: Machine): Promise<Resolved['files']> {
  if (hubDatasetOf(call, registry)) return []; // its commit is in the key
  if (isSource(call)) {
    const digests = await Promise.all(sourceFiles(call, registry, params).map((file) => digestOf(file, machine)));
    return sourceOf(call, registry).harness ? [harnessIdentity(), ...digests] : digests;
  }
  if (!isImport(call)) return [];
  const digests = Object.entries(await importedFiles(call)).map(async ([name, file]) => [name, await digestOf(file, machine)] as const);
  return Object.fromEntries(await Promise.all(digests));
}

export function sourceFiles(call: StepCall, registry: Registry, params: object): string[] {
  const { folder } = call.inputs as { folder: string };
  const { files, endings = /./ } = sourceOf(call, registry);
  return files(params as never).flatMap((path) => filesAt(resolvePath(folder, path), endings, call.label));
}

/** The files that a path stands for, sorted: a file itself; those below a folder that are not hidden; those that match a glob. */
function filesAt(path: string, endings: RegExp, label: string): string[] {
  const isFolder = statSync(path, { throwIfNoEntry: false })?.isDirectory();
  if (!isFolder && (existsSync(path) || !/[*?[{]/.test(path))) return [path];
  const found = isFolder ? globSync('**', { cwd: path }).filter((name) => endings.test(name)) : globSync(path);
  const files = found.map((name) => resolvePath(path, name)).filter((file) => statSync(file, { throwIfNoEntry: false })?.isFile());
  if (files.length > 0) return files.sort();
  const lacks = isFolder ? 'holds no file that this source reads' : 'matches no file';
  throw new BackspinError('ConfigError', `${path} (${label}) ${lacks}: check the path in the experiment file.`);
}

/** Name in the model -> path: the whole folder for `model:path`, the tokenizer for `model:init`, nothing for an external model; of one on
 *  the Hub, whose commit identifies it, the chat template in its place. */
export async function importedFiles(call: StepCall): Promise<Readonly<Record<string, string>>> {
  const { path, tokenizer, chatTemplate } = call.inputs as { path?: string; tokenizer?: string; chatTemplate?: string };
  const folder = path ?? tokenizer;
  const files = folder === undefined ? {} : await modelFiles(folder);
  const taken = path === undefined ? Object.entries(files).filter(([name]) => !/\.(safetensors|bin)$/.test(name)) : Object.entries(files);
  return { ...Object.fromEntries(taken), ...(chatTemplate !== undefined && { 'chat_template.jinja': chatTemplate }) };
}

async function digestOf(file: string, machine: Machine): Promise<string> {
  try {
    return await machine.files.of(file);
  } catch (error) {
    if (error instanceof Unread) throw error;
    const { code } = error as NodeJS.ErrnoException;
    throw new BackspinError('ConfigError', `The file ${file} cannot be read (${code}): check its path in the experiment file.`);
  }
}
