/** Jinja files that an experiment names in place of registered prompts. They are among its modules; the store keeps their texts. */
import { isUtf8 } from 'node:buffer';
import { readFile } from 'node:fs/promises';
import { sha256 } from '../schemas/canonical.ts';
import { BackspinError } from '../schemas/errors.ts';
import { PROMPT_FILE } from '../schemas/config.ts';
import type { Store } from '../store/store.ts';
import type { Module } from './modules.ts';
import { withRows } from './prompt-rows.ts';

/** The namespace of prompts in files. */
export const JINJA = 'jinja';
export const isPromptFile = ({ path }: Pick<Module, 'path'>): boolean => PROMPT_FILE.test(path);
/** The registered name of a file's prompt, which says its content. */
export const promptId = (digest: string): string => `${JINJA}.p${digest}`;
/** The digest in such a name; undefined: it is another's. */
export const digestOf = (id: string): string | undefined => /^jinja\.p([0-9a-f]{64})$/.exec(id)?.[1];

/** Reads a file, with the rows of tables that it names in its text. Throws `ConfigError` if one of them cannot be read. */
export async function readPromptFile(path: string): Promise<{ readonly text: string; readonly digest: string }> {
  const bytes = await readFile(path).catch((error: unknown) => {
    const { code } = error as NodeJS.ErrnoException;
    throw new BackspinError('ConfigError', `The prompt file ${path} cannot be read (${code}): check its path.`, { cause: error });
  });
  if (!isUtf8(bytes)) throw new BackspinError('ConfigError', `The prompt file ${path} is not a text in UTF-8: save it as one.`);
  const text = await withRows(bytes.toString(), path);
  return { text, digest: sha256(text) };
}

/** The text that the experiment was launched with: from the store, else from the file while it is the same. */
export async function promptText({ path, digest }: Module, store?: Pick<Store, 'prompt'>): Promise<string> {
  const kept = await store?.prompt(digest);
  if (kept !== undefined) return kept;
  const now = await readPromptFile(path);
  if (now.digest === digest) return now.text;
  throw new BackspinError(
    'ConfigError',
    `The prompt file ${path} has changed since the experiment was bound, and the store has no copy of what it was: put the file back, or launch the experiment under a new name.`,
  );
}

/** Has the store keep the texts of prompt files. */
export async function keepPrompts(store: Pick<Store, 'prompt' | 'putPrompt'>, modules: readonly Module[]): Promise<void> {
  for (const module of modules) if (isPromptFile(module)) await store.putPrompt(await promptText(module, store));
}
