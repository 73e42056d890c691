import { resolve } from 'node:path';
import test from 'ava';
import type { Plan } from '../../schemas/plan.ts';
import { backspin, temporary } from '../cli/cli.ts';

const file = resolve(import.meta.dirname, '../support/miniature.yaml');

test('a low-rank adapter takes the room of its rows and columns', async (t) => {
  const bytes = async (lora: string) => {
    const { stdout } = await backspin(temporary(), ['plan', file, '--json', '--set', `parameters.sft.lora=${lora}`]);
    return (JSON.parse(stdout) as Plan).steps.find(({ path }) => path === 'r1/forward')!.bytes;
  };
  t.is(await bytes('{ rank: 8, alpha: 16, targets: [q_proj, down_proj] }'), 4 * 8 * 4 * (160 + 160 + 448 + 160));
  t.true((await bytes('null'))! > 5_000_000);
});

test('a model that would be asked in another form than it is trained in fails the plan', async (t) => {
  const home = temporary();
  const { code, stdout } = await backspin(home, ['plan', file, '--set', 'parameters.prompts.backtranslate=textworld.answer']);
  t.is(code, 1);
  t.regex(stdout, /Step backtranslate asks the model in the role "backward" by the prompt textworld\.answer, which is for models trained/);
  t.is((await backspin(home, ['plan', file])).code, 0);
});
