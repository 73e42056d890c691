/** Runs both test suites for `npm test`, checks for leftovers, and prints one closing line. */
import { spawn } from 'node:child_process';
import { join, resolve } from 'node:path';
import { ownTemporaryFolder, sweep } from './support/leftovers.ts';

interface Counts {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
}

/** Milliseconds. */
const SILENCE = 30 * 60_000;
// Hundreds of processes load the same files: types are stripped and code is compiled once.
process.env['NODE_COMPILE_CACHE'] ??= resolve(import.meta.dirname, '../node_modules/.cache/tests');
const folder = ownTemporaryFolder();
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
  process.on(signal, () => {
    sweep(folder, 0);
    process.exit(1);
  });

// Python's suite in parallel, because the other leaves a core idle; its output follows in one piece.
const python = suite('test:py', [`--basetemp=${join(folder, 'pytest')}`], countsOfPytest, () => {});
const typescript = await suite('test:ts', [], countsOfAva, (text) => process.stdout.write(text));
process.stdout.write((await python).output);
const suites = [typescript, await python];
const left = sweep(folder, 5_000);
for (const sentence of left) console.error(sentence);
const total = (of: keyof Counts) => suites.reduce((sum, counts) => sum + counts[of], 0);
const failed = total('failed') + left.length;
console.log(`${total('passed')} passed, ${failed} failed, ${total('skipped')} skipped`);
process.exitCode = failed > 0 ? 1 : 0;

/** Runs an npm script to its end, and counts tests in its output. A script fails if it exits with an error, whatever it counts, or if it
 *  prints nothing for half an hour: ava's own timeout cannot stop a test that computes without a pause. */
async function suite(script: string, args: readonly string[], countsOf: (output: string) => Counts, show: (text: string) => void) {
  const child = spawn('npm', ['run', '--silent', script, '--', ...args], { stdio: ['inherit', 'pipe', 'inherit'] });
  let output = '';
  const silent = setTimeout(() => {
    console.error(`npm run ${script} has printed nothing for ${SILENCE / 60_000} minutes, and is ended`);
    sweep(folder, 0);
    child.kill();
  }, SILENCE);
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    output += text;
    silent.refresh();
    show(text);
  });
  const code = await new Promise<number | null>((done, failed_) => child.once('error', failed_).once('close', done));
  clearTimeout(silent);
  const counts = countsOf(output);
  return { output, ...counts, failed: code === 0 ? counts.failed : Math.max(counts.failed, 1) };
}

function countsOfAva(output: string): Counts {
  const closing = output.slice(output.lastIndexOf('  ─\n'));
  return {
    passed: output.match(/^ {2}✔ /gm)?.length ?? 0,
    failed:
      sum(closing, /^ {2}(\d+) (?:(?:test|hook)s? failed|unhandled|uncaught|tests? remained pending)/gm) +
      (output.match(/^ {2}✘ .* exited (?:with|due to)/gm)?.length ?? 0),
    skipped: sum(closing, /^ {2}(\d+) tests? skipped/gm),
  };
}

function countsOfPytest(output: string): Counts {
  const closing = output.trimEnd().split('\n').at(-1) ?? '';
  return {
    passed: sum(closing, /(\d+) passed/g),
    failed: sum(closing, /(\d+) (?:failed|error)/g),
    skipped: sum(closing, /(\d+) skipped/g),
  };
}

function sum(text: string, pattern: RegExp): number {
  return [...text.matchAll(pattern)].reduce((all, [, number]) => all + Number(number), 0);
}
