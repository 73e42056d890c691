/** What `retry-step` says of settings, files and modules that a person has mended. */
import test from 'ava';
import { appendFile, copyFile, mkdir, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { stepsOf } from '../../steps/work.ts';
import { openServices } from '../../steps/services.ts';
import { loadExperiment } from '../../experiments/config.ts';
import { findEdits } from '../../experiments/edits.ts';
import { contextOf, importsOf } from '../../recipe/inputs.ts';
import type { ExperimentRecord, Step } from '../../schemas/experiment.ts';
import type { BoundConfig } from '../../schemas/config.ts';
import { stillPinned } from '../../workflows/pins.ts';
import { root, temporary } from '../cli/cli.ts';

const text = `# On tides\n\n${Array.from({ length: 100 }, (_, i) => `word${i * i}`).join(' ')}`;
const line = (value: object) => `${JSON.stringify(value)}\n`;

/** Humpback on data of one's own, whose sources have been read in. */
async function launched() {
  const folder = temporary();
  process.env['BACKSPIN_HOME'] = join(folder, 'home');
  const file = join(folder, 'humpback.yaml');
  await copyFile(join(root, 'examples/humpback.yaml'), file);
  await mkdir(join(folder, 'humpback'));
  await symlink(join(root, 'examples/textworld/base/plain'), join(folder, 'humpback/base'));
  const [seed, documents] = ['seed.jsonl', 'documents.jsonl'].map((name) => join(folder, 'humpback', name)) as [string, string];
  await writeFile(seed, line({ prompt: 'Why?', answer: 'Because.' }));
  await writeFile(documents, line({ text }));
  const { bound, digest } = await loadExperiment(file);
  const services = await openServices(join(folder, 'home'));
  const beat = { signal: new AbortController().signal, heartbeat: () => {} };
  const steps: Step[] = [];
  for (const call of (await importsOf(bound)).filter(({ operation }) => operation.startsWith('source:'))) {
    const { path, arm, round, label: name, verb: kind, operation } = call;
    const entry = await stepsOf(services).compute(call, contextOf(bound), beat);
    steps.push({ path, arm, round, name, kind, operation: operation, state: 'completed', ...entry });
  }
  return { record: { name: bound.name, config: bound, configDigest: digest, steps } as unknown as ExperimentRecord, seed, documents };
}

test('a fork takes over no source and no model that its settings change', (t) => {
  const pin = {
    entry: { result: { kind: 'model', digest: '0'.repeat(64) }, stepKey: '0'.repeat(64), cached: true },
    inputs: [],
  } as const;
  const pins = { 'data-seed': pin, 'data-corpus': pin, 'model-base': pin, 'r1/judge': { ...pin, inputs: ['1'] } };
  const source = (path: string) => ({ source: 'std.table', params: { path }, folder: '/' });
  const before = { data: { seed: source('a'), corpus: source('b') }, models: { base: { path: '/m' } } };
  const kept = (now: typeof before) => Object.keys(stillPinned(pins, before, now));
  t.deepEqual(kept(before), Object.keys(pins));
  t.deepEqual(kept({ ...before, data: { ...before.data, corpus: source('c') } }), ['data-seed', 'model-base', 'r1/judge']);
  t.deepEqual(kept({ ...before, models: { base: { path: '/n' } } }), ['data-seed', 'data-corpus', 'r1/judge']);
});

test.serial('where nothing was mended there is nothing to say, and the configuration stays', async (t) => {
  const { record } = await launched();
  t.deepEqual(await findEdits(record, []), { experiment: undefined, lines: [] });
  t.is((await findEdits(record, ['parameters.rounds=2'])).experiment, undefined);
});

test.serial('a setting is bound as at a launch, and said with what it makes again', async (t) => {
  const { record } = await launched();
  const { experiment, lines } = await findEdits(record, ['parameters.sft.maxTokens=4096']);
  t.is((experiment!.bound.parameters as { sft: { maxTokens: number } }).sft.maxTokens, 4096);
  t.deepEqual({ ...experiment!.bound, parameters: null }, { ...(record.config as BoundConfig), parameters: null } as never);
  t.regex(lines[0]!, /^parameters\.sft\.maxTokens: \d+ -> 4096$/);
  t.is(lines[1], 'Nothing that was done is made again.');
  await t.throwsAsync(findEdits(record, ['parameters.sft.maxTokns=4096']), { message: /nearest is "maxTokens"/ });
  await t.throwsAsync(findEdits(record, ['recipe=nothing']));
});

test.serial('a source file that changed is named, with the step that is made again; one that is gone is not', async (t) => {
  const { record, seed, documents } = await launched();
  await appendFile(documents, line({ text: text.replace('tides', 'winds') }));
  const changed = `${documents} changed since data-corpus was read in, and is read again.`;
  t.deepEqual(await findEdits(record, []), { experiment: undefined, lines: [changed, 'Made again: data-corpus.'] });
  await rm(seed);
  const { lines } = await findEdits(record, []);
  t.is(lines[0], changed);
  t.is(lines.length, 2);
});
