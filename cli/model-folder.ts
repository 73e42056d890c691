/** What a model folder must have before anything starts. The trainer renders the chat template; here its text is looked at. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/** What is wrong with a folder that should hold a Hugging Face model; undefined: nothing that can be seen. */
export function modelFault(folder: string): string | undefined {
  const files = list(folder);
  if (!files) return `${folder} is not a folder that can be read; give the folder of a model`;
  if (!files.includes('config.json')) return `${folder} has no config.json; give the folder of a whole Hugging Face model`;
  if (!files.some((file) => file.endsWith('.safetensors'))) return `${folder} has no weights; a .safetensors file is needed`;
  return tokenizerFault(folder, true);
}

/** Likewise for a folder that should hold a tokenizer; a model's needs a chat template. */
export function tokenizerFault(folder: string, chat = false): string | undefined {
  const files = list(folder);
  if (!files) return `${folder} is not a folder that can be read; give the folder of a tokenizer`;
  if (!files.includes('tokenizer_config.json')) return `${folder} has no tokenizer_config.json; give the folder of a whole tokenizer`;
  if (!files.includes('tokenizer.json') && !files.includes('tokenizer.model'))
    return `${folder} has no tokenizer.json; give the folder of a whole tokenizer`;
  let config: { chat_template?: unknown; eos_token?: string | { content?: string } | null };
  try {
    config = JSON.parse(readFileSync(join(folder, 'tokenizer_config.json'), 'utf8')) as typeof config;
  } catch (error) {
    return `${join(folder, 'tokenizer_config.json')} is not JSON (${(error as Error).message}); repair it`;
  }
  const end = typeof config.eos_token === 'string' ? config.eos_token : config.eos_token?.content;
  if (end === undefined) return `the tokenizer in ${folder} has no end token; set eos_token in its tokenizer_config.json`;
  if (!chat) return undefined;
  const template = files.includes('chat_template.jinja') ? readFileSync(join(folder, 'chat_template.jinja'), 'utf8') : config.chat_template;
  return templateFault(template, end, folder);
}

function templateFault(template: unknown, end: string, folder: string): string | undefined {
  const fault = (part: string) => `the chat template in ${folder} ${part}; repair chat_template in its tokenizer files`;
  if (typeof template !== 'string' || template.trim() === '') return fault('is missing');
  if (!template.includes('messages')) return fault('renders no messages');
  if (!template.includes('add_generation_prompt')) return fault('has no generation prompt (add_generation_prompt) to open an answer with');
  if (!template.includes('eos_token') && !template.includes(end)) return fault(`does not end a turn with the end token ${end}`);
  // one that writes the role's name, and does not only compare it, renders any role
  const generic = /\[\s*['"]role['"]\s*\]|\.role\b/.test(template.replace(/\brole'?"?\]?\s*[!=]=/g, ''));
  for (const role of ['system', 'user', 'assistant']) {
    if (!generic && !template.includes(role)) return fault(`leaves out the turns of the ${role}`);
  }
  return undefined;
}

function list(folder: string): string[] | undefined {
  try {
    return readdirSync(folder);
  } catch {
    return undefined;
  }
}
