/** A model server that refuses to start, through everything: a person reads why, and mends it. */
import test from 'ava';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import type { View } from '../../cli/view.ts';
import { backspin, root, temporary } from './cli.ts';

const home = temporary();
test.after.always(async () => {
  await backspin(home, ['down']);
  rmSync(home, { recursive: true });
});

test('what a model server refuses for ends the watch with attention; an experiment that mends it has the same step done', async (t) => {
  t.timeout(300_000);
  t.is((await backspin(home, ['up', '--detach'])).code, 0);
  const launch = (name: string, slots: number) =>
    backspin(home, ['launch', join(root, 'test/support/miniature.yaml'), '--name', name, '--set', `serving.slots=${slots}`, '--watch']);
  const refused = await launch('refused', 10_000_000);
  t.is(refused.code, 2, refused.stderr);
  t.regex(refused.stdout, /backtranslate waits: ConfigError: The key-value cache of .* would take .* GiB .* lower 'slots'/);
  t.regex(refused.stdout, /`backspin retry-step refused backtranslate`; or `backspin give-up refused backtranslate`/);
  const mended = await launch('mended', 2);
  t.is(mended.code, 0, mended.stderr + mended.stdout);
  const step = async (name: string) =>
    (JSON.parse((await backspin(home, ['status', name, '--json'])).stdout) as View).steps.find(({ path }) => path === 'backtranslate')!;
  const [first, second] = [await step('refused'), await step('mended')];
  t.is(first.state, 'attention');
  t.is(second.state, 'completed');
  t.is(first.stepKey, second.stepKey);
});
