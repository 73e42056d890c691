/** A project for a national language: texts in Parquet subsets of a dataset on the Hub, a base model of the Hub that ends its turns with
 *  another token than its end token, and a teacher behind an OpenAI-compatible server that takes neither `max_tokens` nor a temperature. */
import { createServer } from 'node:http';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { root, temporary } from '../cli/cli.ts';
import { hubHome } from '../support/hub-home.ts';
import { completed, python } from './support.ts';

const chatml = `{% for message in messages %}{{ '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}`;
const parquet = `import sys, pathlib, pyarrow as pa, pyarrow.parquet as pq
folder = pathlib.Path(sys.argv[1])
for subset, files in (("wiki", 2), ("news", 1)):
    (folder / subset).mkdir(parents=True)
    for number in range(files):
        texts = [f"Fjorden ved by {number}.{n} er {n} meter dyb. Året rundt sejler små både ud på åen. Om vinteren fryser søen bag kirken til is." for n in range(8)]
        rows = {"text": texts, "title": [f"Fjord {number}.{n}" for n in range(8)], "id": list(range(8)), "source": [subset] * 8}
        pq.write_table(pa.table(rows), folder / subset / f"{number}.parquet", compression="zstd")`;
const card = `---
configs:
- config_name: wiki
  data_files: wiki/*.parquet
- config_name: news
  data_files: news/*.parquet
---
`;

const experiment = (teacher: string) => `name: danish
recipe: humpback
data:
  seed: { source: std.hub, params: { repository: dansk/svar, format: messages, turns: single } }
  corpus: { source: std.documents, params: { hub: { repository: dansk/tekster, config: wiki }, title: title, minChars: 100 } }
models:
  base: { hub: Qwen/Qwen2.5-0.5B, endToken: <|im_end|> }
  scorer: { external: { model: teacher-1, revision: "2026-05", url: "${teacher}/v1", key: { env: TEACHER_KEY }, omit: [temperature, topP] } }
serving: { engine: embedded, slots: 4, maxModelLength: 1024 }
evaluation:
  forward: { suite: humpback.answers, params: { instructions: [Hvor dyb er fjorden?], sampling: { temperature: 1, maxTokens: 8 } } }
parameters:
  rounds: 1
  minimum: 1
  judgeCheck: { pairs: 4 }
  keep: { threshold: 4.5 }
  instructionChars: { min: 1, max: 800 }
  sampling:
    backtranslate: { temperature: 1, maxTokens: 48, stop: [e, a, " "] } # a random model ends no turn
    judge: { temperature: 0, maxTokens: 64 }
  sft: { length: { steps: 2 }, batch: 2, maxTokens: 512, learningRate: 1e-3 }
`;

/** Rates texts of even numbers 5 and others 2. */
async function teacher(t: ExecutionContext) {
  const bodies: Readonly<Record<string, unknown>>[] = [];
  const server = createServer((request, response) => {
    const parts: Buffer[] = [];
    request.on('data', (part: Buffer) => parts.push(part));
    request.on('end', () => {
      const answer = (status: number, body: object) =>
        response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
      if (request.headers.authorization !== 'Bearer sk-dansk') return answer(401, { error: { message: 'no key' } });
      if (request.method === 'GET') return answer(200, { object: 'list', data: [{ id: 'teacher-1', object: 'model' }] });
      const body = JSON.parse(Buffer.concat(parts).toString()) as Readonly<Record<string, unknown>>;
      const refuse = (param: string, other = '') =>
        answer(400, {
          error: {
            message: `Unsupported parameter: '${param}' is not supported with this model.${other}`,
            type: 'invalid_request_error',
            param,
          },
        });
      if ('max_tokens' in body) return refuse('max_tokens', " Use 'max_completion_tokens' instead.");
      for (const param of ['seed', 'temperature', 'top_p']) if (param in body) return refuse(param);
      bodies.push(body);
      const number = /er (\d+) meter/.exec(JSON.stringify(body['messages']))?.[1];
      const content = [
        { type: 'text', text: `Teksten svarer på det.\nScore: ${number === undefined || Number(number) % 2 === 0 ? 5 : 2}` },
      ];
      const message = { role: 'assistant', content, reasoning_content: 'Score: 1?' };
      const usage = { prompt_tokens: 9, completion_tokens: 9 };
      // One reply in a while counts no tokens.
      answer(200, { choices: [{ index: 0, message, finish_reason: 'stop' }], ...(number !== '4' && { usage }) });
    });
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  t.teardown(() => void server.close());
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, bodies };
}

test('a national-language project: Parquet subsets, a base of the Hub and a teacher of another dialect, from plan to export', async (t) => {
  t.timeout(900_000);
  const user = await hubHome(t);
  const { hub, home, env, run } = user;
  const folder = temporary();
  writeFileSync(join(folder, 'chat.jinja'), chatml);
  const tokenizer = join(root, 'examples/textworld/tokenizer');
  await Promise.all([
    python(join(root, 'test/support/random-model.py'), 'Llama', join(folder, 'chat.jinja'), tokenizer, join(folder, 'model')),
    python('-c', parquet, join(folder, 'texts')),
  ]);
  endWith(join(folder, 'model'), '<|endoftext|>');
  hub.publish('models', 'Qwen/Qwen2.5-0.5B', join(folder, 'model'));
  writeFileSync(join(folder, 'texts/README.md'), card);
  hub.publish('datasets', 'dansk/tekster', join(folder, 'texts'));
  const rows = Array.from({ length: 8 }, (_, n) => ({
    messages: [
      { role: 'user', content: `Hvor dyb er sø ${n}?` },
      { role: 'assistant', content: `Søen er ${n} meter dyb. Året rundt er der både på vandet.` },
    ],
  }));
  hub.publish('datasets', 'dansk/svar', { 'data/train.jsonl': rows.map((row) => `${JSON.stringify(row)}\n`).join('') });
  const { url, bodies } = await teacher(t);
  env['TEACHER_KEY'] = 'sk-dansk';
  const file = join(home, 'danish.yaml');
  writeFileSync(file, experiment(url).replace(', endToken: <|im_end|>', ''));
  const refused = await run('plan', file);
  t.regex(refused.stderr, /models\.base\.hub: .* does not end a turn with the end token <\|endoftext\|>.*; set endToken: '<\|im_end\|>'/);
  writeFileSync(file, experiment(url));

  const view = await completed(t, user, file, 'danish');
  const at = (path: string) => view.steps.find((step) => step.path === path)!;
  t.like(at('data-corpus'), { kept: 16 });
  t.like(at('backtranslate'), { in: 16 });
  t.is(at('r1/judge').kept, at('backtranslate').kept, 'every reply of the teacher is read');
  t.true(at('r1/curated').kept! >= 1);
  t.true(bodies.length > 0 && bodies.every((body) => body['max_completion_tokens'] === 64));
  const shown = (await run('show', 'danish', 'r1/curated', '--limit', '1')).stdout;
  t.regex(shown, /response: Fjorden ved by \d\.\d er [02468] meter dyb\. Året rundt/);
  t.notRegex(shown, /Score: 1\?/);

  const exported = await run('export', 'danish', 'r1/curated', '--to', join(home, 'pairs'), '--format', 'parquet');
  t.is(exported.code, 0, exported.stderr);
  const load = 'import sys, json; from datasets import load_dataset; print(json.dumps(load_dataset(sys.argv[1])["train"].to_list()))';
  const loaded = JSON.parse(await python('-c', load, join(home, 'pairs'))) as readonly { readonly response: string }[];
  t.is(loaded.length, at('r1/curated').kept!);
  t.true(loaded.every(({ response }) => response.startsWith('Fjorden ved by')));
  const model = join(home, 'model');
  t.is((await run('export', 'danish', '--to', model)).code, 0);
  const { eos_token_id: ends } = JSON.parse(readFileSync(join(model, 'generation_config.json'), 'utf8')) as { eos_token_id: number[] };
  t.is(ends.length, 2, 'whoever serves the model stops at the end of a turn');
});

/** Makes another token the end token of a model, as that of a base model is. */
function endWith(folder: string, token: string): void {
  const edit = (name: string, change: object) => {
    const path = join(folder, name);
    writeFileSync(path, JSON.stringify({ ...(JSON.parse(readFileSync(path, 'utf8')) as object), ...change }));
  };
  const { added_tokens: added } = JSON.parse(readFileSync(join(folder, 'tokenizer.json'), 'utf8')) as {
    readonly added_tokens: readonly { readonly id: number; readonly content: string }[];
  };
  const { id } = added.find(({ content }) => content === token)!;
  edit('tokenizer_config.json', { eos_token: token });
  for (const name of ['config.json', 'generation_config.json']) edit(name, { eos_token_id: id });
}
