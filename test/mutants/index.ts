/** Tries whether the tests of the engine's core notice a fault: each mutant changes one line of a copy of the checkout, and its test must fail.
 *  `npm run mutants` tries all, `npm run mutants -- journal` those whose names begin so. */
import { spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { mutants } from './list.ts';
import type { Mutant } from './mutant.ts';

const checkout = resolve(import.meta.dirname, '../..');
const { python } = JSON.parse(readFileSync(join(checkout, 'node_modules/.backspin-setup.json'), 'utf8')) as { python: string };
const copy = mkdtempSync(join(tmpdir(), 'backspin-mutants-'));

function copyCheckout(): void {
  const { stdout } = spawnSync('git', ['ls-files', '--cached', '--others', '--exclude-standard', '-z'], {
    cwd: checkout,
    encoding: 'utf8',
  });
  for (const file of stdout.split('\0')) if (file !== '') cpSync(join(checkout, file), join(copy, file), { recursive: true });
  symlinkSync(join(checkout, 'node_modules'), join(copy, 'node_modules'));
}

/** Whether the test passes; what it printed where it does not. */
function passes(test: string): { readonly passed: boolean; readonly printed: string } {
  const [command, args] = test.endsWith('.py')
    ? [python, ['-m', 'pytest', '-x', '-q', test]]
    : [process.execPath, [join(checkout, 'node_modules/ava/entrypoints/cli.js'), '--fail-fast', test]];
  const run = spawnSync(command, args, {
    cwd: copy,
    env: { ...process.env, PYTHONPATH: join(copy, 'trainer') },
    encoding: 'utf8',
    timeout: 600_000,
  });
  return { passed: run.status === 0, printed: run.stdout + run.stderr };
}

/** The first test that failed, as its runner names it. */
const failedIn = (printed: string): string =>
  /^\s*✘ \[fail\]: (.*)$/m.exec(printed)?.[1] ?? /^FAILED (\S+)/m.exec(printed)?.[1] ?? 'it ended with an error';

/** Why it survived; undefined: its test caught it. */
function survived({ file, from, to, test }: Mutant): string | undefined {
  const path = join(copy, file);
  const text = readFileSync(path, 'utf8');
  if (text.split(from).length !== 2) return `${file} has it ${text.split(from).length - 1} times, not once: mend the list`;
  writeFileSync(
    path,
    text.replace(from, () => to),
  );
  try {
    const { passed, printed } = passes(test);
    if (passed) return `${test} passes`;
    console.log(`  caught: ${failedIn(printed)}`);
    return undefined;
  } finally {
    writeFileSync(path, text);
  }
}

const chosen = mutants.filter(({ name }) => name.startsWith(process.argv[2] ?? ''));
const wrong: string[] = [];
try {
  copyCheckout();
  for (const test of new Set(chosen.map(({ test }) => test))) {
    const { passed, printed } = passes(test);
    if (!passed) throw new Error(`${test} fails without any mutant:\n${printed}`);
  }
  for (const mutant of chosen) {
    console.log(mutant.name);
    const why = survived(mutant);
    if (why === undefined) continue;
    wrong.push(`${mutant.name}: ${why}`);
    console.log(`  SURVIVED: ${why}`);
  }
} finally {
  rmSync(copy, { recursive: true, force: true });
}
console.log(`\n${chosen.length - wrong.length} of ${chosen.length} mutants were caught.`);
process.exitCode = wrong.length > 0 ? 1 : 0;
