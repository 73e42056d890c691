/** A model server that refuses to start, through everything: a person reads why, and mends it. */
import test from 'ava';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import type { View } from '../../experiments/view.ts';
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
  // Which of the steps that ask the server is refused first is left to the machine.
  const path = /(\S+) waits: ConfigError: Spec key 'slots' must be at most 1024/.exec(refused.stdout)?.[1] ?? '';
  t.true(['backtranslate', 'evaluate-forward'].includes(path), refused.stdout);
  t.regex(refused.stdout, new RegExp(`\`backspin retry-step refused ${path}\`; or \`backspin give-up refused ${path}\``));
  const mended = await launch('mended', 2);
  t.is(mended.code, 0, mended.stderr + mended.stdout);
  const step = async (name: string) =>
    (JSON.parse((await backspin(home, ['status', name, '--json'])).stdout) as View).steps.find((one) => one.path === path)!;
  const [first, second] = [await step('refused'), await step('mended')];
  t.is(first.state, 'attention');
  t.is(second.state, 'completed');
  t.is(first.stepKey, second.stepKey);
});
