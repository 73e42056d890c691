/** Checks a model folder before anything starts. `chat-template.ts` renders its chat template. */
import { closeSync, fstatSync, openSync, readdirSync, readFileSync, readSync, realpathSync } from 'node:fs';
import { join, sep } from 'node:path';
import { isGguf } from '../devices/gguf.ts';
import { linkableFolder, PICKLED, PICKLED_INDEX } from '../store/models.ts';
import {
  CHAT_TEMPLATE,
  listedTemplate,
  readsVariable,
  withSettings,
  type ChatTemplateArguments,
  type TemplateSettings,
} from '../steps/chat-template.ts';
import { tokenId } from '../steps/end-token.ts';
import { templateFault, type SpecialTokens } from './chat-template.ts';

/** Returns the fault of a folder that should hold a Hugging Face model; undefined if none is visible. */
export const modelFault = (folder: string): string | undefined => filesFault(folder) ?? tokenizerFault(folder);

/** The same for an encoder, which needs no end token. */
export const encoderFault = (folder: string): string | undefined => filesFault(folder) ?? vocabularyFault(folder);

/** The GGUF files that a path stands for: itself, or those of a folder that holds no other model. */
export function ggufIn(path: string): string[] {
  if (isGguf(path)) return [path];
  const files = listFolder(path) ?? [];
  return files.includes('config.json') ? [] : files.filter(isGguf).map((file) => join(path, file));
}

/** The way out where a GGUF file will not do. */
export const FOLDER_OF_GGUF = 'give the folder of the model that it was made from, or the name of that model on the Hugging Face Hub';

/** The same for a model on the Hub whose small files are in `folder`; `used` names the files that it consists of, among all `files`. */
export function repositoryFault(
  hub: string,
  {
    folder,
    used,
    files,
  }: { readonly folder: string; readonly used: readonly string[]; readonly files: readonly { readonly name: string }[] },
  encodes: boolean,
): string | undefined {
  const ggufs = files.map(({ name }) => name).filter(isGguf);
  if (!used.includes('config.json') && ggufs.length > 0)
    return `${hub} holds GGUF files only; name one of them (${ggufs.join(', ')}) as \`file\` beside \`hub\`, or ${FOLDER_OF_GGUF}`;
  if (!used.includes('config.json')) return `${hub} has no config.json: it is no model that transformers can load`;
  if (!used.some((name) => /^[^/]+\.(safetensors|bin)$/.test(name)))
    return `${hub} has no weights that can be trained; safetensors or pytorch_model.bin are needed`;
  const config = readObject(join(folder, 'config.json'));
  if (typeof config === 'string') return config;
  return indexFault(folder, used) ?? (encodes ? vocabularyFault(folder) : tokenizerFault(folder));
}

function filesFault(folder: string): string | undefined {
  const files = listFolder(folder);
  if (!files) return `${folder} is not a folder that can be read; give the folder of a model`;
  if (!files.includes('config.json') && files.includes('adapter_config.json'))
    return `${folder} is an adapter; give the model that \`merge_and_unload\` of PEFT makes of it and its base`;
  if (!files.includes('config.json')) return `${folder} has no config.json; give the folder of a whole Hugging Face model`;
  const config = readObject(join(folder, 'config.json'));
  if (typeof config === 'string') return config;
  return linkFault(folder, files) ?? weightsFault(folder, files);
}

/** The same for a folder that should hold a tokenizer. */
export const tokenizerFault = (folder: string): string | undefined =>
  vocabularyFault(folder) ??
  (specialTokensIn(folder)['eos_token'] === undefined
    ? `the tokenizer in ${folder} has no end token; set eos_token in its tokenizer_config.json`
    : undefined);

/** The way out where there is SentencePiece's file alone. */
const CONVERT =
  'with sentencepiece and protobuf installed, AutoTokenizer.from_pretrained(folder).save_pretrained(folder) of transformers writes one ' +
  'from tokenizer.model';

function vocabularyFault(folder: string): string | undefined {
  const files = listFolder(folder);
  if (!files) return `${folder} is not a folder that can be read; give the folder of a tokenizer`;
  if (!files.includes('tokenizer_config.json')) return `${folder} has no tokenizer_config.json; give the folder of a whole tokenizer`;
  if (!files.includes('tokenizer.json'))
    return `${folder} has no tokenizer.json; ${files.includes('tokenizer.model') ? CONVERT : 'give the folder of a whole tokenizer'}`;
  const vocabulary = readObject(join(folder, 'tokenizer.json'));
  if (typeof vocabulary === 'string') return vocabulary;
  const read = readObject(join(folder, 'tokenizer_config.json'));
  return typeof read === 'string' ? read : undefined;
}

const configIn = (folder: string) => readObject(join(folder, 'tokenizer_config.json')) as Record<string, unknown>;
/** Reads special tokens such as `eos_token`: each is a text, or an object that holds it. Old folders have them in special_tokens_map.json, and
 *  those of GPT-2 the id of the end token in config.json alone. */
function specialTokensIn(folder: string): Record<string, string> {
  const { eos_token_id: id } = objectIn(folder, 'config.json');
  const end = addedTokens(folder).find((token) => token.id === id)?.content;
  const all = { ...(end !== undefined && { eos_token: end }), ...objectIn(folder, 'special_tokens_map.json'), ...configIn(folder) };
  const tokens = Object.entries(all).flatMap(([name, token]) => {
    const text = typeof token === 'object' && token !== null ? (token as { content?: unknown }).content : token;
    return name.endsWith('_token') && typeof text === 'string' ? [[name, text] as const] : [];
  });
  return Object.fromEntries(tokens);
}
/** The JSON object in a file of the folder; an empty one if it has none. */
function objectIn(folder: string, name: string): Record<string, unknown> {
  const value = readObject(join(folder, name));
  return typeof value === 'string' ? {} : value;
}

/** The tokens that generation_config.json lists as ends, such as Gemma's `<end_of_turn>` beside its EOS `<eos>`. */
function listedEnds(folder: string): string[] {
  const ids = [objectIn(folder, 'generation_config.json')['eos_token_id'] ?? []].flat();
  return addedTokens(folder)
    .filter(({ id }) => ids.includes(id))
    .map(({ content }) => content);
}
function addedTokens(folder: string): readonly { readonly id: number; readonly content: string }[] {
  return (objectIn(folder, 'tokenizer.json')['added_tokens'] as { id: number; content: string }[] | undefined) ?? [];
}

/** Returns the fault of a token that should end turns; undefined if the tokenizer in the folder has it. */
export function endTokenFault(folder: string, token: string): string | undefined {
  const tokenizer = readObject(join(folder, 'tokenizer.json'));
  if (typeof tokenizer === 'string' || tokenId(tokenizer, token) !== undefined) return undefined;
  return `the tokenizer in ${folder} has no token ${token}`;
}

/** Returns the fault of a model's chat template, or of the file that replaces it, under these settings. `fixed`: nobody can edit the folder.
 *  Assumes that the tokenizer has an end token. */
export function chatFault(folder: string, file?: string, fixed = false, settings: TemplateSettings = {}): string | undefined {
  const [template, it, remedy] =
    file === undefined
      ? [
          ownTemplate(folder),
          `the chat template in ${folder}`,
          fixed ? 'name a file with another as `chatTemplate`' : 'repair chat_template in its tokenizer files',
        ]
      : [readText(file), `the chat template ${file}`, 'repair it'];
  if (template === undefined && file !== undefined) return `${file} cannot be read; give a file with a chat template`;
  const whole = template === undefined || template.trim() === '' ? '' : withSettings(template, settings);
  const tokens = specialTokensIn(folder) as SpecialTokens;
  const ends = [tokens.eos_token, ...listedEnds(folder), ...(settings.endToken === undefined ? [] : [settings.endToken])];
  const fault = templateFault(whole, tokens, ends);
  const end =
    fault &&
    addedTokens(folder).find(({ content }) => whole.includes(content) && templateFault(whole, tokens, [content]) === undefined)?.content;
  if (end !== undefined) return `${it} ${fault}; set endToken: '${end}', which it writes there`;
  const thinks = fault && readsVariable(whole, THINKING) && !(THINKING in (settings.chatTemplateArguments ?? {}));
  const mended = thinks && templateFault(withSettings(whole, { chatTemplateArguments: { [THINKING]: false } }), tokens, ends) === undefined;
  return fault && `${it} ${fault}; ${mended ? `set chatTemplateArguments: { ${THINKING}: false }, under which it is sound` : remedy}`;
}
/** The variable by which many templates open an answer with a thought. */
const THINKING = 'enable_thinking';

/** The arguments that the model's chat template, or the file that replaces it, does not read. */
export function unreadArguments(folder: string, file: string | undefined, values: ChatTemplateArguments = {}): string[] {
  const template = file === undefined ? ownTemplate(folder) : readText(file);
  return template === undefined ? [] : Object.keys(values).filter((name) => !readsVariable(template, name));
}
function ownTemplate(folder: string): string | undefined {
  return readText(join(folder, CHAT_TEMPLATE)) ?? listedTemplate(configIn(folder));
}
function readText(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return undefined;
  }
}

/** Refuses links out of the folder: the store imports a model by its files, and the targets of links may change or disappear. */
function linkFault(folder: string, files: readonly string[]): string | undefined {
  const home = linkableFolder(realpathSync(folder)) + sep;
  const stray = files.find((file) => !realPath(join(folder, file))?.startsWith(home));
  return stray && `${join(folder, stray)} links to what is not in its folder; give a folder of plain files (\`cp -rL\` makes one)`;
}

function weightsFault(folder: string, files: readonly string[]): string | undefined {
  const weights = files.filter((file) => file.endsWith('.safetensors'));
  const names = ['model.safetensors', 'model.safetensors.index.json'];
  if (weights.length > 0 && !names.some((name) => files.includes(name)))
    return `${folder} has neither ${names.join(' nor ')}, which says what is in ${weights[0]}; fetch the one that belongs to it`;
  if (weights.length === 0 && !files.some((file) => PICKLED.test(file)))
    return `${folder} has no weights; safetensors or pytorch_model.bin are needed`;
  const missing = indexFault(folder, files);
  if (missing !== undefined) return missing;
  const broken = weights.length > 0 ? undefined : files.find((file) => PICKLED.test(file) && !isPickled(join(folder, file)));
  if (broken !== undefined) return `${join(folder, broken)} is no file of weights that PyTorch saved; fetch it again`;
  for (const file of weights) {
    const fault = safetensorsFault(join(folder, file));
    if (fault) return `${join(folder, file)} is no whole safetensors file: ${fault}; fetch it again`;
  }
  return undefined;
}

/** Files of torch.save are zip archives; those of old versions begin with a pickle. */
function isPickled(path: string): boolean {
  const file = openSync(path, 'r');
  try {
    const begin = Buffer.alloc(2);
    readSync(file, begin, 0, 2, 0);
    return begin.toString('latin1') === 'PK' || begin[0] === 0x80;
  } finally {
    closeSync(file);
  }
}

/** The fault of the index of the weights, or of what it names. */
function indexFault(folder: string, files: readonly string[]): string | undefined {
  const index = files.some((file) => file.endsWith('.safetensors')) ? 'model.safetensors.index.json' : PICKLED_INDEX;
  if (!files.includes(index)) return undefined;
  const path = join(folder, index);
  const content = readObject(path);
  if (typeof content === 'string') return content;
  const named = Object.values((content['weight_map'] ?? {}) as Record<string, string>);
  const missing = named.find((file) => !files.includes(file));
  return missing && `${folder} has no ${missing}, which ${path} names; fetch it`;
}

/** Checks the safetensors format: eight bytes with the length of a JSON header, the header, and the tensors at the offsets in the
 *  header. */
function safetensorsFault(path: string): string | undefined {
  const file = openSync(path, 'r');
  try {
    const { size } = fstatSync(file);
    const length = Buffer.alloc(8);
    readSync(file, length, 0, 8, 0);
    const header = Number(length.readBigUInt64LE());
    if (header === 0 || 8 + header > size) return `it has ${size} bytes, fewer than its header takes`;
    const text = Buffer.alloc(header);
    readSync(file, text, 0, header, 8);
    const tensors = Object.values(JSON.parse(text.toString()) as Record<string, { data_offsets?: [number, number] }>);
    const whole = 8 + header + Math.max(0, ...tensors.map(({ data_offsets }) => data_offsets?.[1] ?? 0));
    return size === whole ? undefined : `it has ${size} bytes and should have ${whole}`;
  } catch {
    return 'its header cannot be read';
  } finally {
    closeSync(file);
  }
}

/** Reads the JSON object in a file, or says what is wrong with it. */
function readObject(path: string): Record<string, unknown> | string {
  try {
    const value: unknown = JSON.parse(readFileSync(path, 'utf8'));
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
    return `${path} holds no JSON object; repair it`;
  } catch (error) {
    return `${path} is not JSON (${(error as Error).message}); repair it`;
  }
}

function realPath(path: string): string | undefined {
  try {
    return realpathSync(path);
  } catch {
    return undefined;
  }
}

function listFolder(folder: string): string[] | undefined {
  try {
    return readdirSync(folder);
  } catch {
    return undefined;
  }
}
