/** The token that an experiment file names as an end of a model's turns. */
import { readFile } from 'node:fs/promises';
import { BackspinError } from '../schemas/errors.ts';

export const GENERATION_CONFIG = 'generation_config.json';
const TOKENIZER = 'tokenizer.json';

interface Vocabulary {
  readonly added_tokens?: readonly { readonly id: number; readonly content: string }[];
  readonly model?: { readonly vocab?: unknown };
}

/** The id of a token in the content of a tokenizer.json; undefined: it has none. */
export function tokenId({ added_tokens: added = [], model }: Vocabulary, token: string): number | undefined {
  const named = added.find(({ content }) => content === token)?.id;
  const vocabulary = model?.vocab;
  if (named !== undefined || typeof vocabulary !== 'object' || vocabulary === null) return named;
  if (!Array.isArray(vocabulary)) return (vocabulary as Readonly<Record<string, number>>)[token];
  const at = (vocabulary as readonly (readonly [string, number])[]).findIndex(([text]) => text === token);
  return at < 0 ? undefined : at;
}

/** The generation_config.json of a model (name -> path) with one more end token, which trainings, the embedded server and vLLM heed.
 *  Throws `ConfigError` if the tokenizer has no such token. */
export async function withEndToken(files: Readonly<Record<string, string | null>>, token: string): Promise<object> {
  const read = async (name: string) =>
    JSON.parse((files[name] && (await readFile(files[name], 'utf8'))) || '{}') as Readonly<Record<string, unknown>>;
  const [generation, config, tokenizer, own] = await Promise.all([
    read(GENERATION_CONFIG),
    read('config.json'),
    read(TOKENIZER) as Promise<Vocabulary>,
    read('tokenizer_config.json'),
  ]);
  const id = tokenId(tokenizer, token);
  if (id === undefined) throw new BackspinError('ConfigError', `The tokenizer has no token ${token}, which is to end turns.`);
  const { eos_token: eos } = own as { readonly eos_token?: string | { readonly content: string } };
  const named = typeof eos === 'object' ? eos.content : eos;
  const ends = [
    generation['eos_token_id'] ?? config['eos_token_id'] ?? (named === undefined ? [] : tokenId(tokenizer, named)) ?? [],
  ].flat();
  return { ...generation, eos_token_id: [...new Set([...ends, id])] };
}
