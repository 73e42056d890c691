/** A model and a dataset by name through `launch`: downloaded once, by a step that resumes, and offline afterwards. */
import { existsSync, globSync, readFileSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { startedWith, wordsOf } from '../../host/proc.ts';
import type { ExperimentRecord, Step } from '../../schemas/experiment.ts';
import { openStore } from '../../store/local.ts';
import { file, until } from './cli.ts';
import { base, experiment, hubHome, type HubHome } from '../support/hub-home.ts';

const seed = '{ source: std.hub, params: { repository: toy/pairs } }';
const pairs = Array.from({ length: 8 }, (_, n) => `{"instruction": "What is ${n} and ${n}?", "response": "It is ${2 * n}."}\n`).join('');

const recordOf = async (home: string, name: string): Promise<ExperimentRecord | undefined> =>
  (await openStore(join(home, 'store'))).experiment(name);
async function imported({ home }: HubHome, name: string, wanted = 'model-base'): Promise<Step> {
  let step: Step | undefined;
  for (let n = 0; n < 1200 && step === undefined; n++) {
    step = (await recordOf(home, name))?.steps.find(({ path, state }) => path === wanted && state === 'completed');
    await new Promise((next) => setTimeout(next, 100));
  }
  return step!;
}
const dataWorkers = (home: string) =>
  startedWith(`BACKSPIN_LIFELINE=${home}/lifeline\0`).filter((pid) =>
    wordsOf(pid)
      .slice(0, 3)
      .some((word) => word.endsWith('data.ts')),
  );
const partial = ({ env }: HubHome) => globSync(join(env['HF_HOME']!, 'hub/models--toy--base/blobs/*.partial'))[0];

test.serial('a download that was killed resumes where it ended, and a launch afterwards needs neither the Hub nor its cache', async (t) => {
  t.timeout(1_200_000);
  const hubbed = await hubHome(t);
  const { hub, home, env, run } = hubbed;
  const commit = hub.publish('models', 'toy/base', base);
  const large = statSync(join(base, 'model.safetensors')).size;
  hub.fault = ({ path }) => (path.startsWith('/cdn/') ? { pause: 600 } : undefined);
  hub.publish('datasets', 'toy/pairs', { 'train.jsonl': pairs });
  file(home, 'one.yaml', experiment('toy/base', seed));
  const launched = await run('launch', 'one.yaml');
  t.is(launched.code, 0, launched.stderr);
  t.teardown(() => run('down'));
  await until(() => partial(hubbed) !== undefined && statSync(partial(hubbed)!).size > 2e6, 'the download is under way');
  let status = '';
  for (let n = 0; n < 20 && !status.includes('downloading'); n++) status = (await run('status', 'one')).stdout;
  t.regex(status, /model-base +downloading, \d+(\.\d+)? MB of 5\.9 MB/);
  for (const pid of dataWorkers(home)) process.kill(pid, 'SIGKILL');
  hub.fault = () => undefined;
  const { result, cached } = await imported(hubbed, 'one');
  t.false(cached);
  const ranges = hub.seen.filter(({ method, path }) => method === 'GET' && path.startsWith('/cdn/')).map(({ range }) => range);
  t.is(ranges.length, 2, 'once before the kill and once after it');
  const [, from] = /^bytes=(\d+)-$/.exec(ranges[1] ?? '') ?? [];
  t.true(Number(from) >= 2e6 && Number(from) < large, ranges[1]);

  const store = await openStore(join(home, 'store'));
  t.deepEqual(result, await store.putModel(base, { ...(await store.model(result as never)) }), 'it is the same model as the folder is');
  const { models } = (await recordOf(home, 'one'))!.config as { models: object };
  t.deepEqual(models, { base: { hub: 'toy/base', revision: 'main', commit } });

  hub.publish('models', 'toy/base', { 'config.json': '{}' }); // main moves on
  t.regex((await run('launch', 'one.yaml')).stdout, /one is running already; attached to it|nothing is left to do/);
  await hub.close();
  rmSync(env['HF_HOME']!, { recursive: true });
  Object.assign(env, { HF_HUB_OFFLINE: '1' });
  file(home, 'two.yaml', experiment('toy/base', seed));
  const again = await run('launch', 'two.yaml');
  t.is(again.code, 0, again.stderr);
  t.deepEqual((await imported(hubbed, 'two')).result, result);
  t.like(await imported(hubbed, 'two', 'data-seed'), { result: { kind: 'dataset', rows: 8 }, cached: true });
  t.false(existsSync(env['HF_HOME']!));
  await run('cancel', 'one');
  await run('cancel', 'two');
  t.notRegex(readFileSync(join(home, 'logs/data.log'), 'utf8'), /hf_/);
});
