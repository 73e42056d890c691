import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { backspin, root, temporary } from '../cli/cli.ts';

const FILE = join(root, 'test/support/miniature.yaml');

test('chaos: an experiment of a user comes to the same end with faults that a seed draws, and leaves nothing behind', async (t) => {
  t.timeout(1_200_000);
  const folder = temporary();
  const { code, stdout, stderr } = await backspin(folder, ['chaos', FILE, '--cells', '3', '--seed', '26', '--pool', 'cpu=2'], {
    TMPDIR: folder,
  });
  t.log(stdout);
  t.is(code, 0, stderr);
  t.regex(stdout, /with 3 faults, drawn with --seed 26/);
  t.is(stdout.match(/^[123] of 3 /gm)?.length, 3);
  t.regex(stdout, /Both came to the same end\./);
  t.deepEqual(
    readdirSync(folder).filter((name) => name.startsWith('backspin-chaos-')),
    [],
  );
});
