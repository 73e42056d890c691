/** Checks that a chat template renders everything that trainings and servers need, by the rules of the trainer. Some templates have no
 *  system turns; the trainer refuses them once its rows have some. */
import { Template } from '@huggingface/jinja';

const user = { role: 'user', content: 'backspin-question' };
const assistant = { role: 'assistant', content: 'backspin-answer' };

/** The message of `raise_exception` in the template. */
class Refused extends Error {}

/** The special tokens that a template may use, among them `eos_token`. */
export type SpecialTokens = Readonly<Record<string, string>> & { readonly eos_token: string };

/** Returns a fault as the end of a sentence about the template; undefined if none is visible without the tokenizer. `ends`: the tokens that
 *  may end a turn. */
export function templateFault(template: string, tokens: SpecialTokens, ends: readonly string[]): string | undefined {
  if (template.trim() === '') return 'is missing';
  try {
    return renderingFault(new Template(template.replaceAll('raise_exception', 'backspin_refuse')), tokens, ends); // Jinja's own function throws a plain Error
  } catch {
    return undefined; // this Jinja lacks a feature of it; the trainer renders it with its own
  }
}

function renderingFault(template: Template, tokens: SpecialTokens, ends: readonly string[]): string | undefined {
  const render = (messages: readonly object[], generation: boolean): string | Refused => {
    const backspin_refuse = (said: unknown): never => {
      throw new Refused(String(said));
    };
    try {
      return template.render({ ...tokens, messages, add_generation_prompt: generation, backspin_refuse });
    } catch (error) {
      if (error instanceof Refused) return error;
      throw error;
    }
  };
  const opened = render([user], true);
  const closed = render([user, assistant], false);
  for (const text of [opened, closed]) if (text instanceof Refused) return `cannot render a user turn: ${text.message}`;
  return turnsFault(opened as string, closed as string, ends);
}

function turnsFault(opened: string, closed: string, ends: readonly string[]): string | undefined {
  for (const { role, content } of [user, assistant]) if (!closed.includes(content)) return `leaves out the turns of the ${role}`;
  const answered = closed.slice(opened.length);
  if (!closed.startsWith(opened) || !answered.trimStart().startsWith(assistant.content))
    return 'has no generation prompt (add_generation_prompt) to open an answer with';
  if (ends.some((end) => answered.includes(end))) return undefined;
  return `does not end a turn with the end token ${ends.join(' or ')} (eos_token, and eos_token_id in generation_config.json)`;
}
