import { resolve } from 'node:path';
import test from 'ava';
import { backspin, temporary } from '../cli/cli.ts';

const file = resolve(import.meta.dirname, '../support/miniature.yaml');

test('a model that would be asked in another form than it is trained in fails the plan', async (t) => {
  const home = temporary();
  const { code, stdout } = await backspin(home, ['plan', file, '--set', 'parameters.prompts.backtranslate=textworld.answer']);
  t.is(code, 1);
  t.regex(stdout, /Step backtranslate asks the model in the role "backward" by the prompt textworld\.answer, which is for models trained/);
  t.is((await backspin(home, ['plan', file])).code, 0);
});
