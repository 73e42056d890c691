#!/usr/bin/env node
// Fakes a Python with vLLM: `-c` prints its version, `-m vllm... serve BASE --name=value ...` serves at once. Like the real one, it runs
// its engine in a process of its own, which survives a killed server and which /health ignores. Files beside the folder of the base
// control it: `stall` (requests to models hang), `busy` (its counters move nevertheless), `refuse`. It refuses the argument
// `no-such-thing`, and crashes at its start with `crash-at=start`, or on the first chat request with `crash-at=chat`.
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import http from 'node:http';
import path from 'node:path';

const [, , flag, , , base, ...more] = process.argv;
if (flag === '-c') {
  console.log('0.0.1');
  process.exit();
}
const folder = path.dirname(base);
const told = (name) => fs.existsSync(path.join(folder, name));
const refuse = (why) => {
  console.error(`usage: vllm serve\nvllm serve: error: ${why}`);
  process.exit(2);
};
if (more.includes('--no-such-thing')) refuse('unrecognized arguments: --no-such-thing');
if (more.some((one, at) => one === '--lora-modules' && (more[at + 1] ?? '--').startsWith('--')))
  refuse('argument --lora-modules: expected at least one argument');
const crash = () => {
  console.error('out of luck');
  process.exit(1);
};
const value = (name) => more.find((one) => one.startsWith(`--${name}=`))?.slice(name.length + 3);
spawn('sleep', ['1000'], { stdio: 'ignore' });
fs.appendFileSync(path.join(folder, 'starts'), `${process.pid}\n`);
if (value('crash-at') === 'start') crash();

const served = new Map([[value('served-model-name'), { root: base }]]);
for (const text of more.filter((one) => one.startsWith('{"name"'))) {
  const { name, path: root } = JSON.parse(text);
  served.set(name, { root, parent: value('served-model-name') });
}
let tokens = 0;

const routes = {
  '/close': () => {
    server.close(); // as one that shuts down, and still lives
    server.closeAllConnections();
    setInterval(() => {}, 60_000);
  },
  '/health': () => '',
  '/version': () => ({ version: told('version') ? '0.0.2' : '0.0.1' }),
  '/v1/models': () => ({ data: [...served].map(([id, entry]) => ({ id, parent: null, ...entry })) }),
  '/metrics': () => {
    if (told('busy')) tokens++;
    return `# TYPE vllm:prompt_tokens counter\nvllm:prompt_tokens_total{engine="0",model_name="m"} ${tokens}.0\n`;
  },
  '/v1/chat/completions': () => {
    if (value('crash-at') === 'chat') crash();
    return {
      choices: [{ index: 0, message: { role: 'assistant', content: 'ok' }, finish_reason: 'stop' }],
      usage: { completion_tokens: 1 },
    };
  },
  '/v1/completions': () => {
    if (told('stall')) return undefined;
    tokens++;
    return {};
  },
  '/v1/load_lora_adapter': ({ lora_name, lora_path }) =>
    served.set(lora_name, { root: lora_path, parent: value('served-model-name') }) && {},
  '/v1/unload_lora_adapter': ({ lora_name }) => served.delete(lora_name) && {},
};
const server = http
  .createServer((request, response) => {
    let text = '';
    request.on('data', (chunk) => (text += chunk));
    request.on('end', () => {
      const guarded = request.url.startsWith('/v1');
      if (guarded && request.headers.authorization !== `Bearer ${process.env.VLLM_API_KEY}`) return response.writeHead(401).end();
      if (told('refuse') && request.url.endsWith('adapter')) return response.writeHead(400).end('rank too high');
      const reply = routes[request.url](text === '' ? {} : JSON.parse(text));
      if (reply !== undefined) response.end(typeof reply === 'string' ? reply : JSON.stringify(reply));
    });
  })
  .listen(Number(value('port')), value('host'));
