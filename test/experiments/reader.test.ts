/** The package for Python in `reader/`, on a store that backspin wrote. */
import { execFile } from 'node:child_process';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import test from 'ava';
import { openStore } from '../../store/local.ts';
import { pathsOf } from '../../store/paths.ts';
import { home } from '../cli/completed.ts';
import { root } from '../cli/cli.ts';
import { realPython } from '../support/devices.ts';

/** What the script prints last, as JSON. */
async function python(folder: string, script: string): Promise<unknown> {
  const env = { ...process.env, BACKSPIN_HOME: folder, PYTHONPATH: join(root, 'reader') };
  const { stdout } = await promisify(execFile)(realPython(), ['-c', `import json, backspin\n${script}`], { env });
  return JSON.parse(stdout);
}

test('Python reads the records, drops and metrics that backspin wrote, and names what is not there', async (t) => {
  const folder = await home();
  const read = await python(
    folder,
    `
def refusal(ask):
    try: ask()
    except backspin.NotFound as error: return str(error)
toy = backspin.open("toy")
judge = toy.step("r1/judge")
print(json.dumps({
    "names": backspin.experiments(), "state": toy.state, "steps": toy.steps, "metrics": toy.metrics(),
    "records": [[record.id, list(record.sources), record.value] for record in judge.records()],
    "table": judge.to_pandas().drop(columns="id").to_dict("records"), "columns": judge.to_datasets().column_names,
    "dropped": [record.value for record in judge.dropped("no-score")], "others": len(judge.dropped("other")),
    "none": len(toy.step("r2/judge").dropped()),
    "refused": [refusal(lambda: backspin.open("tox")), refusal(lambda: toy.step("r1/juge")), refusal(lambda: judge.model)],
}))`,
  );
  const store = await openStore(join(folder, 'store'));
  const { steps } = (await store.experiment('toy'))!;
  const records: unknown[] = [];
  for await (const { id, from, value } of store.read(steps[0]!.result as never)) records.push([id, from, value]);
  const metric = (step: string, round: number | null, name: string, value: number) => ({ step, round, arm: null, metric: name, value });
  t.deepEqual(read, {
    names: ['toy'],
    state: 'completed',
    steps: steps.map(({ path }) => path),
    metrics: [
      metric('first', null, 'exact', 0.25),
      metric('r1/ours', 1, 'exact', 0.5),
      metric('r1/theirs', 1, 'exact', 0.75),
      metric('r1/theirs', 1, 'other', 1),
    ],
    records,
    table: [
      { text: 'one', score: 5 },
      { text: 'two', score: 4 },
    ],
    columns: ['id', 'score', 'text'],
    dropped: [{ id: 'a', reason: 'no-score', evidence: 'I like it', value: { text: 'x' } }],
    others: 0,
    none: 0,
    refused: [
      `There is no experiment "tox" in ${join(folder, 'store')}. Did you mean "toy"?`,
      'toy has no step "r1/juge". Did you mean "r1/judge"?',
      'r1/judge has no model.',
    ],
  });
});

test('Python refuses a shard with other bytes than its name says, and tells of one that is gone', async (t) => {
  const folder = await home();
  const store = await openStore(join(folder, 'store'));
  const { steps } = (await store.experiment('toy'))!;
  const { shards } = await store.dataset(steps[0]!.result as never);
  const path = pathsOf(store.root).blob(shards[0]!.digest);
  const reading = `
try: list(backspin.open("toy").step("r1/judge").records())
except (backspin.Damaged, backspin.NotFound) as error: print(json.dumps([type(error).__name__, str(error)]))`;
  const bytes = readFileSync(path);
  bytes[bytes.length - 1]! ^= 1;
  writeFileSync(path, bytes);
  const [damaged, why] = (await python(folder, reading)) as string[];
  t.is(damaged, 'Damaged', why);
  rmSync(path);
  t.deepEqual(await python(folder, reading), [
    'NotFound',
    `${path} is not there: launch the experiment again, and what is missing is made again.`,
  ]);
});
