/** One step on a few records, and what it asks, through everything: with a model behind an OpenAI-compatible server. */
import test from 'ava';
import { readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { fakeOpenAI } from '../support/openai.ts';
import { backspin, file, root, temporary } from './cli.ts';

const home = temporary();
test.after.always(async () => {
  await backspin(home, ['down']);
  rmSync(home, { recursive: true });
});

const lines = (...texts: readonly string[]) => texts.map((text) => JSON.stringify({ text })).join('\n');
const jinja = '{% system %}\nYou design tasks.\n{% endsystem %}\n{% user %}\nDesign: {{ text }}\n{% enduser %}\n';
const written = (url: string) => {
  const folder = temporary();
  file(folder, 'documents.jsonl', lines('Bees make honey in their hives.', 'Rivers flow into the sea.'));
  file(folder, 'meta.jsonl', lines('The moon turns round the earth.', 'Salt keeps meat from spoiling.', 'Bread is made of flour.'));
  file(folder, 'design.jinja', jinja);
  return file(
    folder,
    'tegit.yaml',
    `recipe: tegit
data:
  documents: { source: std.table, params: { path: documents.jsonl } }
  metaDocuments: { source: std.table, params: { path: meta.jsonl } }
models:
  base: { path: ${root}/examples/textworld/base/plain }
  teacher: { external: { model: m, revision: "1", url: "${url}", key: { file: key } } }
parameters: { prompts: { design: ./design.jinja }, sft: { maxTokens: 256 } }
`,
  );
};

test('a step is tried on the first records, and a prompt is asked, by the real engine; nothing of it stays', async (t) => {
  t.timeout(1_200_000);
  const server = await fakeOpenAI(t);
  const task = '#instruction#: What turns round the earth?\n#input#:\n#output#: The moon turns round the earth.';
  server.change = (path, reply, body) => {
    if (path !== '/v1/chat/completions') return reply;
    const asked = (body['messages'] as { content: string }[]).at(-1)!.content;
    const content = asked.includes('moon') ? task : 'I would rather not.';
    return { ...reply, choices: [{ index: 0, message: { role: 'assistant', content }, finish_reason: 'stop' }] };
  };
  const path = written(server.endpoint.url);
  file(join(path, '..'), 'key', 'secret');

  const shown = await backspin(home, ['prompt', path, 'design', '--record', '2']);
  t.is(shown.code, 0, shown.stderr);
  t.regex(
    shown.stdout,
    /role teacher \(temperature 0, maxTokens 1024\)\n── system\nYou design tasks\.\n── user\nDesign: Salt keeps meat from spoiling\.\n/,
  );
  t.deepEqual(server.seen, [], 'without --ask nothing is asked');

  const tried = await backspin(home, ['try', path, 'design', '--records', '2']);
  t.is(tried.code, 0, tried.stderr);
  t.regex(
    tried.stdout,
    /in\.text: The moon turns round the earth\.\nout\.grounding: 1\nout\.input: \nout\.instruction: What turns round the earth\?/,
  );
  t.regex(tried.stdout, /in\.text: Salt keeps meat from spoiling\.\ndropped: no-\S+\nevidence: I would rather not\./);
  t.regex(tried.stdout, /1 of 2 kept; dropped 1 no-\S+\n2 requests, \d+ tokens, /);
  const chats = () => server.seen.filter((one) => one.path === '/v1/chat/completions' && JSON.stringify(one.body).includes('Design: '));
  t.is(chats().length, 2, 'the third record is not asked about');

  const asked = await backspin(home, ['prompt', path, 'design', '--ask', '--json']);
  t.is(asked.code, 0, asked.stderr);
  t.like(JSON.parse(asked.stdout), {
    step: 'teacher/design',
    record: { text: 'The moon turns round the earth.' },
    answer: { reply: task, finish: 'stop' },
  });

  const training = await backspin(home, ['try', path, 'wrap']);
  t.is(training.code, 1);
  t.regex(training.stderr, /Step wrap needs the model of step wrapper, which is not trained yet: launch tegit, and try again once/);

  t.deepEqual(readdirSync(join(home, 'store', 'experiments')), []);
});
