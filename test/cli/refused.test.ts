/** A model server that refuses to start, through everything: a person reads why, and mends it. */
import test from 'ava';
import { cpSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { View } from '../../experiments/view.ts';
import { backspin, root, temporary } from './cli.ts';

const home = temporary();
test.after.always(async () => {
  await backspin(home, ['down']);
  rmSync(home, { recursive: true });
});

/** A model whose context needs more memory than any machine has: only the machine that serves knows what it has. */
function endless(): string {
  const folder = join(home, 'endless');
  cpSync(join(root, 'examples/textworld/base/rated'), folder, { recursive: true });
  const config = JSON.parse(readFileSync(join(folder, 'config.json'), 'utf8')) as object;
  writeFileSync(join(folder, 'config.json'), JSON.stringify({ ...config, max_position_embeddings: 1e10 }));
  return folder;
}

test('what a model server refuses for ends the watch with attention; an experiment that mends it has the same step done', async (t) => {
  t.timeout(1_200_000);
  t.is((await backspin(home, ['up', '--detach'])).code, 0);
  const model = `models.base={ path: ${endless()} }`;
  const file = join(root, 'test/support/miniature.yaml');
  const launch = (name: string, ...sets: string[]) =>
    backspin(home, ['launch', file, '--name', name, ...[model, ...sets].flatMap((set) => ['--set', set]), '--watch']);
  const refused = await launch('refused');
  t.is(refused.code, 2, refused.stderr);
  // Which of the steps that ask the server is refused first is left to the machine.
  const path =
    /(\S+) waits: ConfigError: The key-value cache of one sequence .* set serving\.maxModelLength/.exec(refused.stdout)?.[1] ?? '';
  t.true(['backtranslate', 'evaluate-forward'].includes(path), refused.stdout);
  t.regex(refused.stdout, new RegExp(`\`backspin retry-step refused ${path}\`; or \`backspin give-up refused ${path}\``));
  const mended = await launch('mended', 'serving.maxModelLength=256');
  t.is(mended.code, 0, mended.stderr + mended.stdout);
  const step = async (name: string) =>
    (JSON.parse((await backspin(home, ['status', name, '--json'])).stdout) as View).steps.find((one) => one.path === path)!;
  t.is((await step('refused')).state, 'attention');
  t.is((await step('mended')).state, 'completed');
});
