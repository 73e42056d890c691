/** Modelfiles: the chat template in Ollama's words prints what the model's own prints. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { Template } from '@huggingface/jinja';
import { goTemplate, turnsOf, type Turns } from '../../experiments/ollama.ts';
import { root } from '../cli/cli.ts';
import { naming } from '../support/templates.ts';

const chatml = `{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}`;
/** As Llama 3 does. */
const headers = `{{ bos_token }}{% for message in messages %}{{ '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n' + message['content'] | trim + '<|eot_id|>' }}{% endfor %}{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}`;
/** As Gemma 2 does: no system turns. */
const gemma = `{{ bos_token }}{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}{% for message in messages %}{{ '<start_of_turn>' + ('model' if message['role'] == 'assistant' else message['role']) + '\n' + message['content'] + '<end_of_turn>\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}`;
/** Whose turns depend on their place. */
const numbered = `{% for message in messages %}{{ '[' ~ loop.index ~ ' ' ~ message['role'] ~ ']' ~ message['content'] }}{% endfor %}{% if add_generation_prompt %}{{ '[assistant]' }}{% endif %}`;
const world = readFileSync(join(root, 'examples/textworld/tokenizer/chat_template.jinja'), 'utf8');

const [system, user, assistant, last] = [
  { role: 'system', content: 'Be "brief".' },
  { role: 'user', content: 'Hi.' },
  { role: 'assistant', content: 'Hello.' },
  { role: 'user', content: 'And?' },
] as const;

/** What the template of Go prints for a conversation. */
function printed(
  { head, system, beforeUser, beforeAssistant, afterAssistant }: Turns,
  messages: readonly { role: string; content: string }[],
) {
  const around: Record<string, readonly [string, string]> = {
    user: [beforeUser, ''],
    assistant: [beforeAssistant, afterAssistant],
    ...(system && { system }),
  };
  const start = messages[0]!.role === 'system' ? '' : head;
  return start + messages.map(({ role, content }) => around[role]![0] + content + around[role]![1]).join('') + beforeAssistant;
}

for (const [name, template, stop, systems] of [
  ['ChatML', chatml, '<|im_end|>', true],
  ['a template that adds a system turn', naming, '<|im_end|>', true],
  ["Llama 3's", headers, '<|eot_id|>', true],
  ["Gemma 2's, without system turns", gemma, '<end_of_turn>', false],
  ["the text world's", world, '<|end|>', true],
] as const)
  test(`${name} prints the same in Ollama's words, but for the first token, which Ollama sets itself`, (t) => {
    const turns = turnsOf(template, '<bos>', '<eos>');
    t.is(turns.stop, stop);
    t.is(turns.system !== null, systems);
    for (const messages of [
      [user],
      [user, assistant, last],
      ...(systems
        ? [
            [system, user],
            [system, user, assistant, last],
          ]
        : []),
    ]) {
      const own = new Template(template).render({ messages, add_generation_prompt: true, bos_token: '<bos>', eos_token: '<eos>' });
      t.is(printed(turns, messages), own.replace(/^<bos>/, ''));
    }
  });

test('a template of Go has the texts as literals, and no space between turns', (t) => {
  t.is(
    goTemplate(turnsOf(chatml, '', '')),
    `{{- range .Messages }}
{{- if eq .Role "user" }}{{ "<|im_start|>user\\n" }}{{ .Content }}
{{- else if eq .Role "system" }}{{ "<|im_start|>system\\n" }}{{ .Content }}{{ "<|im_end|>\\n" }}
{{- else if eq .Role "assistant" }}{{ "<|im_end|>\\n<|im_start|>assistant\\n" }}{{ .Content }}{{ "<|im_end|>\\n" }}
{{- end }}
{{- end }}{{ "<|im_end|>\\n<|im_start|>assistant\\n" }}`,
  );
});

test('a template whose turns depend on their place is refused', (t) => {
  t.throws(() => turnsOf(numbered, '', ''), { message: /do not simply follow each other.*leave --ollama away/ });
});
