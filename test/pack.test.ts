/** The npm package, as `npm install` lays it out. */
import { execFileSync } from 'node:child_process';
import { globSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { readSetup } from '../host/setup.ts';
import { root, temporary } from './cli/cli.ts';

test('the package plans an experiment below node_modules, where Node runs JavaScript alone', (t) => {
  t.timeout(600_000);
  const folder = temporary();
  execFileSync(process.execPath, [join(root, 'setup/pack.js'), folder]);
  const [packed] = globSync('backspin-*.tgz', { cwd: folder });
  const packages = join(folder, 'installed', 'node_modules');
  mkdirSync(join(packages, 'backspin'), { recursive: true });
  execFileSync('tar', ['xzf', join(folder, packed!), '--strip-components=1', '-C', join(packages, 'backspin')]);
  for (const name of readdirSync(join(root, 'node_modules')))
    if (!name.startsWith('.')) symlinkSync(join(root, 'node_modules', name), join(packages, name));
  const own = (pattern: string) => globSync(pattern, { cwd: join(packages, 'backspin') });
  t.deepEqual(
    own('**/*.ts').filter((file) => !file.endsWith('.d.ts')),
    [],
  );
  t.deepEqual(own('{test,bench}/**'), []);
  for (const file of ['trainer/backspin_trainer/train.py', 'recipe/index.d.ts', 'setup.js', 'docs/deploying.md', 'devices/launch.sh'])
    t.deepEqual(own(file), [file]);

  const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string };
  const cache = join(folder, 'cache');
  mkdirSync(cache);
  writeFileSync(join(cache, `setup-${version}.json`), JSON.stringify(readSetup()));
  const backspin = (...args: string[]) =>
    execFileSync(process.execPath, [join(packages, 'backspin', 'cli', 'backspin.js'), ...args], {
      cwd: folder,
      env: { ...process.env, BACKSPIN_HOME: join(folder, 'home'), BACKSPIN_CACHE: cache },
      encoding: 'utf8',
    });
  const file = join(packages, 'backspin', 'examples', 'textworld', 'humpback.yaml');
  const plan = JSON.parse(backspin('plan', file, '--json')) as { steps: object[]; missing: string[] };
  t.deepEqual(plan.missing, []);
  t.true(plan.steps.length > 10);
});
