import { mkdtemp, readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { Template } from '@huggingface/jinja';
import { readsVariable, withSettings } from '../../steps/chat-template.ts';
import { reduceStep } from '../../steps/reduce.ts';
import { isRef } from '../../schemas/call.ts';
import { call, keyOf, resolved } from '../support/keys.ts';
import { newStore } from '../support/store.ts';

/** As Qwen3 closes its thought: a variable that a template takes beside the turns. */
const thinking = `  {% for message in messages %}
{{ message.content }}
{% endfor %}
{%- if enable_thinking is defined and enable_thinking is false %}{{ '<think></think>' }}{% endif %}`;
const render = (template: string, more = {}) => new Template(template).render({ messages: [{ content: 'Hi' }], ...more });

async function folderOf(files: Readonly<Record<string, string>>): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'backspin-'));
  for (const [name, text] of Object.entries({ 'config.json': '{}', 'model.safetensors': 'weights', ...files }))
    await writeFile(join(folder, name), text);
  return folder;
}
const imported = (path: string, more = {}) => call('reduce', 'model:path', { path, ...more });
const off = { chatTemplateArguments: { enable_thinking: false } };

test('arguments are what a request leaves open: it may set them itself, and what the template prints is the same as with them', (t) => {
  const template = withSettings(thinking, off);
  t.is(render(template), render(thinking, { enable_thinking: false }));
  t.is(render(template, { enable_thinking: true }), render(thinking, { enable_thinking: true }));
  t.not(render(template), render(thinking));
  // trainer/tests/test_folders.py renders this text as the trainer does.
  t.is(template, `{%- if enable_thinking is not defined %}{%- set enable_thinking = false %}{%- endif %}\n${thinking}`);
  const values = { a: null, b: 'say "it\'s"\n', c: [1, -0.5, true], d: { e: 'x' } };
  t.is(
    new Template(withSettings('{{ [a, b, c, d] | tojson }}', { chatTemplateArguments: values })).render({}),
    new Template('{{ [a, b, c, d] | tojson }}').render(values),
  );
});

test('a template that writes the date writes the same one every day, whoever renders it', (t) => {
  const dated = `{{ strftime_now('%d %B %Y') }}{% for message in messages %}{{ message.content }}{% endfor %}`;
  t.is(render(withSettings(dated, {})), '01 January 2025Hi');
  t.is(withSettings(withSettings(dated, {}), {}), withSettings(dated, {}), 'once');
  t.is(withSettings(thinking, {}), thinking, 'another template stays as it is');
  // trainer/tests/test_folders.py renders this text as the trainer does.
  t.regex(withSettings(dated, {}), /^\{%- macro strftime_now\(format\) %\}\{\{ format \| replace\('%-d', '1'\)/);
});

test('a token that ends turns is listed beside those that the model has; one that the tokenizer lacks is refused', async (t) => {
  const store = await newStore();
  const added_tokens = [
    { id: 7, content: '<|endoftext|>' },
    { id: 9, content: '<|im_end|>' },
  ];
  const tokenizer = { 'tokenizer.json': JSON.stringify({ added_tokens }), 'tokenizer_config.json': '{"eos_token": "<|endoftext|>"}' };
  const listed = async (endToken: string, more = {}) => {
    const folder = await folderOf({ ...tokenizer, ...more });
    const step = await resolved(imported(folder, { endToken }));
    const { result } = await reduceStep({ store, registry: step.registry, resolved: step, seed: 0, signal: new AbortController().signal });
    if (!isRef(result)) throw new Error('no model');
    return JSON.parse(await readFile(join(await store.modelFolder(result), 'generation_config.json'), 'utf8')) as object;
  };
  t.deepEqual(await listed('<|im_end|>'), { eos_token_id: [7, 9] });
  t.deepEqual(await listed('<|im_end|>', { 'generation_config.json': '{"eos_token_id": [7, 8], "top_k": 5}' }), {
    eos_token_id: [7, 8, 9],
    top_k: 5,
  });
  await t.throwsAsync(listed('<|none|>'), { message: /has no token <\|none\|>/ });
});

test('a system turn of the file comes where the conversation has none, in place of the one that the template would add', (t) => {
  const own = `{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}[system]You are Someone.{% endif %}[{{ message['role'] }}]{{ message['content'] }}{% endfor %}`;
  const asked = { role: 'user', content: 'Hi' };
  const rendered = (template: string, ...messages: object[]) => new Template(template).render({ messages });
  t.is(rendered(own, asked), '[system]You are Someone.[user]Hi');
  t.is(rendered(withSettings(own, { system: '' }), asked), '[system][user]Hi');
  t.is(rendered(withSettings(own, { system: 'Say "no".\n' }), asked), '[system]Say "no".\n[user]Hi');
  t.is(rendered(withSettings(own, { system: '' }), { role: 'system', content: 'Mine.' }, asked), '[system]Mine.[user]Hi');
  // trainer/tests/test_folders.py renders this text as the trainer does.
  t.is(
    withSettings(own, { system: '' }),
    `{%- if messages[0].role != 'system' %}{%- set messages = [{"role": "system", "content": ""}] + messages %}{%- endif %}\n${own}`,
  );
});

for (const [title, files] of [
  ['in a file of its own', { 'chat_template.jinja': thinking, 'tokenizer_config.json': '{"chat_template": "another"}' }],
  ['in the tokenizer', { 'tokenizer_config.json': JSON.stringify({ chat_template: thinking }) }],
  [
    'in a list of the tokenizer',
    {
      'tokenizer_config.json': JSON.stringify({
        chat_template: [
          { name: 'tool_use', template: 'x' },
          { name: 'default', template: thinking },
        ],
      }),
    },
  ],
] as const)
  test(`a model with arguments has them in its chat template, which was ${title}`, async (t) => {
    const store = await newStore();
    const folder = await folderOf(files);
    const step = await resolved(imported(folder, off));
    const { result } = await reduceStep({ store, registry: step.registry, resolved: step, seed: 0, signal: new AbortController().signal });
    if (!isRef(result)) return t.fail();
    const text = await readFile(join(await store.modelFolder(result), 'chat_template.jinja'), 'utf8');
    t.is(text, withSettings(thinking, off));
    t.not(step.stepKey, await keyOf(imported(folder)));
    t.not(step.stepKey, await keyOf(imported(folder, { chatTemplateArguments: { enable_thinking: true } })));
    const plain = await resolved(imported(folder));
    const without = await reduceStep({ store, registry: plain.registry, resolved: plain, seed: 0, signal: new AbortController().signal });
    t.notDeepEqual(without.result, result);
  });

test('arguments go before the template of a file that replaces that of the model', async (t) => {
  const store = await newStore();
  const mine = join(await folderOf({ 'mine.jinja': thinking }), 'mine.jinja');
  const folder = await folderOf({ 'chat_template.jinja': 'the own one', 'tokenizer_config.json': '{}' });
  const step = await resolved(imported(folder, { ...off, chatTemplate: mine }));
  const { result } = await reduceStep({ store, registry: step.registry, resolved: step, seed: 0, signal: new AbortController().signal });
  if (!isRef(result)) return t.fail();
  t.is(await readFile(join(await store.modelFolder(result), 'chat_template.jinja'), 'utf8'), withSettings(thinking, off));
});

test('a variable is what a template reads, not what it prints, names as a field, a filter or a key', (t) => {
  t.true(readsVariable(thinking, 'enable_thinking'));
  t.true(readsVariable('{% if not (effort | default("low")) == "high" %}x{% endif %}', 'effort'));
  t.true(readsVariable('{{ names[effort] }}', 'effort'));
  for (const template of ['effort {{ "effort" }}{# effort #}', '{{ message.effort }}', '{{ x | upper }}', '{{ f(effort=1) }}'])
    t.false(readsVariable(template, template.includes('upper') ? 'upper' : 'effort'), template);
  t.true(readsVariable('{% unknown_tag %}{% if effort %}{% endif %}', 'effort'), 'in a template that this Jinja cannot read');
  t.false(readsVariable('{% unknown_tag %}effort', 'effort'));
});
