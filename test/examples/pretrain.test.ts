/** The base model's own experiment file, in small: weights from nothing, a gate on what they learnt, a person who lets them pass. */
import test from 'ava';
import { join, resolve } from 'node:path';
import type { View } from '../../experiments/view.ts';
import type { ModelRef } from '../../schemas/call.ts';
import { openStore } from '../../store/local.ts';
import { backspin, temporary } from '../cli/cli.ts';

const FILE = resolve(import.meta.dirname, '../../examples/textworld/pretrain.yaml');
const SMALL = ['data.text.params.epochs=1', 'parameters.lm.length.steps=4', 'parameters.tailLm.length.steps=2'].flatMap((set) => [
  '--set',
  set,
]);
const home = temporary();
const status = async () => JSON.parse((await backspin(home, ['status', 'textworld-pretrain', '--json'])).stdout) as View;

test.after.always(() => backspin(home, ['down']));

test('a base that has not learnt enough stands at attention, and gets its tail when a person approves', async (t) => {
  t.timeout(1_200_000);
  const launched = await backspin(home, ['launch', FILE, ...SMALL, '--watch']);
  t.is(launched.code, 2, launched.stderr);
  const { attention } = await status();
  t.like(attention, [{ path: 'gate', kind: 'gate' }]);
  t.regex(attention[0]!.reason, /rawBackwardExact of at least 0\.3/);

  t.is((await backspin(home, ['approve', 'textworld-pretrain'])).code, 0);
  t.is((await backspin(home, ['watch', 'textworld-pretrain'])).code, 0);
  const store = await openStore(join(home, 'store'));
  const { model, untailed } = (await status()).result as { model: ModelRef; untailed: ModelRef };
  t.is((await store.model(model)).from, untailed.digest);
  t.is((await store.model(untailed)).steps, 4);
});
