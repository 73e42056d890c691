/** What Temporal's database holds of an experiment under a key for payloads. */
import { randomBytes } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Client, Connection } from '@temporalio/client';
import { historyToJSON } from '@temporalio/common/lib/proto-utils.js';
import test from 'ava';
import type { View } from '../../experiments/view.ts';
import type { Up } from '../../host/home.ts';
import { workflowId } from '../../schemas/names.ts';
import { backspin, file, root, temporary } from './cli.ts';

const home = temporary();
const newKey = () => randomBytes(32).toString('base64');
const [first, second] = [newKey(), newKey()];
const keys = file(home, 'keys', `${first}\n`);
const env = { BACKSPIN_PAYLOAD_KEY: keys };
const address = () => (JSON.parse(readFileSync(join(home, 'up.json'), 'utf8')) as Up).address;

/** Every payload of a history, as the server has it. */
async function payloadsOf(name: string): Promise<string[]> {
  const connection = await Connection.connect({ address: address() });
  const id = workflowId.experiment(readFileSync(join(home, 'store/id'), 'utf8'), name);
  const history = historyToJSON(await new Client({ connection }).workflow.getHandle(id).fetchHistory());
  await connection.close();
  return [...history.matchAll(/"data":\s*"([^"]*)"/g)].map(([, data]) => Buffer.from(data!, 'base64').toString('latin1'));
}

test.after.always(async () => void (await backspin(home, ['down'])));

const stepOf = async (path: string) => {
  const { stdout } = await backspin(home, ['status', 'secret', '--json'], env);
  return (JSON.parse(stdout) as View).steps.find((step) => step.path === path);
};
const finished = async (path: string) => {
  let state: string | undefined;
  for (const end = performance.now() + 300_000; state !== 'completed' && performance.now() < end;) state = (await stepOf(path))?.state;
  return state;
};

test.serial('no payload in the history of an experiment is plain text, and commands with the key read everything', async (t) => {
  const up = await backspin(home, ['up', '--detach'], env);
  t.is(up.code, 0, up.stderr);
  writeFileSync(
    join(home, 'word.ts'),
    `import { source } from 'backspin';\nimport { z } from 'zod';\nexport const namespace = 'word';\nexport const pairs = source({ version: 1, output: z.object({ text: z.string() }), *rows() { yield { text: 'a' }; } });\n`,
  );
  const yaml = file(
    home,
    'secret.yaml',
    `recipe: humpback\nmodules: [word.ts]\ndata: { seed: { source: word.pairs }, corpus: { source: word.pairs } }\nmodels: { base: { path: ${root}/examples/textworld/base/rated } }\nparameters: { rounds: 1, keep: { threshold: 5 }, sft: { maxTokens: 256 } }\n`,
  );
  const launched = await backspin(home, ['launch', yaml], env);
  t.is(launched.code, 0, launched.stderr);
  t.is(await finished('data-corpus'), 'completed');
  const payloads = await payloadsOf('secret');
  t.true(payloads.length > 5, `${payloads.length}`);
  for (const payload of payloads) t.notRegex(payload, /word\.pairs|textworld|data-corpus|threshold/);
});

test.serial('without the key nothing joins the experiments, and the message names it', async (t) => {
  const refused = await backspin(home, ['pause', 'secret']);
  t.is(refused.code, 1);
  t.regex(refused.stderr, /Experiments of this store are encrypted with the key [\da-f]{16}[^]*set BACKSPIN_PAYLOAD_KEY to the file/);
  t.is((await backspin(home, ['down'])).code, 0);
  for (const other of [{}, { BACKSPIN_PAYLOAD_KEY: file(home, 'other', newKey()) }]) {
    const up = await backspin(home, ['up', '--detach'], other);
    t.is(up.code, 1);
    t.regex(up.stderr, /Experiments of this store are encrypted with the key/);
  }
  const short = await backspin(home, ['up', '--detach'], { BACKSPIN_PAYLOAD_KEY: file(home, 'short', 'c2hvcnQ=\n') });
  t.is(short.code, 1);
  t.regex(short.stderr, /must hold a key of 32 bytes in base64 on each line: `openssl rand -base64 32` makes one/);
});

test.serial('a new key in front of the old one encrypts what comes from then on, and the experiment goes on', async (t) => {
  writeFileSync(keys, `${second}\n${first}\n`);
  const up = await backspin(home, ['up', '--detach'], env);
  t.is(up.code, 0, up.stderr);
  t.is((await stepOf('data-corpus'))?.state, 'completed');
  t.is((await backspin(home, ['cancel', 'secret'], env)).code, 0);
  const { stdout } = await backspin(home, ['status', 'secret', '--json'], env);
  t.is((JSON.parse(stdout) as View).state, 'cancelled');
  writeFileSync(keys, `${second}\n`);
  t.is((await backspin(home, ['down'])).code, 0);
  t.is((await backspin(home, ['up', '--detach'], env)).code, 0);
});
