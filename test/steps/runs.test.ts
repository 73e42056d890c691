import test from 'ava';
import { existsSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { clearIfRowsChanged } from '../../steps/runs.ts';
import { temporary } from '../cli/cli.ts';

test('a run goes on where it was with the same rows, and from the beginning where other code has made other rows', async (t) => {
  const run = join(temporary(), 'run');
  const given = async (rows: string) => {
    await mkdir(run, { recursive: true });
    await writeFile(join(run, 'rows.jsonl'), rows);
    return clearIfRowsChanged({ run });
  };
  t.false(await given('{"n":1}\n'));
  await mkdir(join(run, 'checkpoints'));
  t.false(await given('{"n":1}\n'));
  t.true(existsSync(join(run, 'checkpoints')));
  t.true(await given('{"n":2}\n'));
  t.false(existsSync(run));
  t.false(await given('{"n":2}\n'));
});
