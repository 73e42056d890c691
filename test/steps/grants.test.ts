import test from 'ava';
import { mkdtemp, readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { grantAll } from '../../steps/grants.ts';
import { openServices } from '../../steps/services.ts';
import type { StepContext } from '../../schemas/steps.ts';
import { moduleDigest } from '../../steps/registry.ts';
import { external } from '../../schemas/external.ts';
import { serving } from '../../schemas/serving.ts';

const embedded = serving.parse({ engine: 'embedded' });

test('workers import a module, ask a server with a key, and start a vLLM or a trainer, only as a launch has named them', async (t) => {
  const home = await mkdtemp(join(tmpdir(), 'backspin-'));
  const path = join(home, 'module.ts');
  const ran = join(home, 'ran');
  await writeFile(
    path,
    `import { appendFileSync } from 'node:fs';\nappendFileSync(${JSON.stringify(ran)}, 'ran ');\nexport const namespace = 'guest';\n`,
  );
  const services = await openServices(home, { launchedOnly: true });
  const modules: StepContext['modules'] = [{ path, digest: await moduleDigest(path) }];
  const server = (more: object = {}) =>
    external.parse({ model: 'm', revision: '1', url: 'http://127.0.0.1:1', key: { env: 'JUDGE_KEY' }, ...more });
  const vllm = (more: object = {}) => serving.parse({ engine: 'vllm', python: '/opt/vllm/bin/python', ...more });
  const trains = (program: string, text: string) => ({
    training: { pool: 'cpu', threads: null, command: { run: [program, '{config}'], config: { path: '/sft.yaml', text }, version: '1' } },
  });
  const context = { modules, serving: embedded, roles: { judge: vllm() }, external: [server()], ...trains('axolotl', 'a') };

  await t.throwsAsync(services.registry(modules), {
    name: 'ConfigError',
    message: /No launch from this home has named the module .*module\.ts/,
  });
  await t.throwsAsync(readFile(ran), { code: 'ENOENT' }, 'it was not even read in');
  await t.throwsAsync(services.check(context), { message: /named the training command axolotl/ });
  await grantAll(services.store, context);
  await services.registry(modules);
  t.is(await readFile(ran, 'utf8'), 'ran ');
  await services.check(context);
  await services.check({
    ...context,
    serving: vllm({ slots: 3 }),
    external: [server({ inFlight: 2 }), server({ key: null, url: 'http://b' })],
  });

  const others = [
    trains('axolotl', 'b'),
    trains('rm', 'a'),
    { external: [server({ url: 'http://127.0.0.1:2' })] },
    { external: [server({ key: { env: 'OTHER_KEY' } })] },
    { serving: vllm({ python: '/tmp/python' }) },
    { serving: vllm({ arguments: { 'trust-remote-code': true } }) },
  ];
  for (const other of others) await t.throwsAsync(services.check({ ...context, ...other }), { name: 'ConfigError' });
  await writeFile(path, 'export const other = 1;\n');
  await t.throwsAsync(services.registry([{ path, digest: await moduleDigest(path) }]), { message: /No launch from this home/ });
});
