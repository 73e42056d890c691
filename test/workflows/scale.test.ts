import test from 'ava';
import type { ChildProcess } from 'node:child_process';
import { mkdir, mkdtemp, readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { DatasetRef } from '../../recipe/call.ts';
import { started } from '../support/process.ts';
import { site } from '../support/temporal.ts';

const RECORDS = 100_000;
/** Peak resident memory of a process so far, MB. */
const peak = async (pid: number) => Number(/VmHWM:\s+(\d+)/.exec(await readFile(`/proc/${pid}/status`, 'utf8'))![1]) / 1024;

test('100,000 records through real stages: each worker stays under 400 MB, each run under 4,096 events, no record is lost', async (t) => {
  t.timeout(240_000);
  const on = await site();
  const children: ChildProcess[] = [];
  try {
    const bundle = join(await mkdtemp(join(tmpdir(), 'bundle-')), 'workflows.js');
    await writeFile(bundle, on.bundle.code);
    const model = join(on.services.home, 'speaker');
    await mkdir(model);
    for (const file of ['config.json', 'model.safetensors']) await writeFile(join(model, file), '{}');
    const mock = await started('mock-model.ts', [], {});
    children.push(mock.child);
    const env = { HOME_FOLDER: on.services.home, ADDRESS: on.env.address, MODEL_URL: mock.said, BUNDLE: bundle };
    const kinds = ['orchestrator', 'data', 'pool'];
    const workers = await Promise.all(kinds.map((kind) => started('worker-process.ts', [kind], env)));
    children.push(...workers.map(({ child }) => child));

    const handle = await on.start('many', 'chatter', { count: RECORDS }, { models: { speaker: { path: model } } });
    const { data } = (await handle.result()) as { data: DatasetRef };
    t.is(data.rows, RECORDS);
    const { served } = (await (await fetch(`${mock.said}/count`)).json()) as { served: number };
    t.true(served >= RECORDS && served <= RECORDS + 10, `${served} requests for ${RECORDS} records`);
    for (const [i, { child }] of workers.entries()) {
      const megabytes = await peak(child.pid!);
      t.log(`${kinds[i]}: ${Math.round(megabytes)} MB`);
      t.true(megabytes < 400, `the ${kinds[i]} worker took ${megabytes} MB`);
    }
    const events: number[] = [];
    for await (const run of on.env.client.workflow.list()) events.push(run.historyLength);
    t.true(Math.max(...events) < 4096, `the longest history has ${Math.max(...events)} events`);
  } finally {
    for (const child of children) child.kill('SIGKILL');
    await on.close();
  }
});
