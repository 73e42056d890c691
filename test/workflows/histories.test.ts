/** Histories of runs that ended long ago: a change of the workflows must still replay them. When one is meant to break them,
 *  `BACKSPIN_RECORD=1 ava test/workflows/{experiment,control,limits}.test.ts` writes them anew. */
import test from 'ava';
import { readdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { historyFromJSON } from '@temporalio/common/lib/proto-utils.js';
import { DefaultLogger, Runtime, Worker, bundleWorkflowCode } from '@temporalio/worker';

const folder = join(import.meta.dirname, 'histories');

test.serial('stored histories replay', async (t) => {
  Runtime.install({ logger: new DefaultLogger('ERROR') });
  const workflowBundle = await bundleWorkflowCode({
    workflowsPath: resolve(import.meta.dirname, '../support/toy-workflows.ts'),
    logger: new DefaultLogger('ERROR'),
  });
  const files = readdirSync(folder);
  t.true(files.length >= 4);
  for (const file of files) {
    const history = historyFromJSON(JSON.parse(readFileSync(join(folder, file), 'utf8')));
    await t.notThrowsAsync(Worker.runReplayHistory({ workflowBundle }, history, file.replace('.json', '')), file);
  }
});
