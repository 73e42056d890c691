/** Runs EleutherAI's harness (lm_eval) in its own Python environment: it writes what its tasks ask, and makes numbers of the answers. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { text } from 'node:stream/consumers';
import type { HarnessRequests } from '../recipe/harness.ts';
import { BackspinError } from '../schemas/errors.ts';
import { hubEnvironment } from './environment.ts';
import { errorOfExit } from './exits.ts';
import { isPackage, readSetup } from './installation.ts';
import { pythonOf, trainerEnvironment } from './python.ts';

function harnessPython(): string {
  const { lmEval } = readSetup();
  if (lmEval) return lmEval;
  const command = isPackage ? '`backspin setup --lm-eval`' : '`node setup.js --lm-eval` in the backspin folder';
  throw new BackspinError('ConfigError', `Tasks of lm_eval need its Python environment: run ${command} once.`);
}

/** Identifies the packages of the environment, on which requests and numbers depend. */
export const harnessIdentity = (): string => `lm_eval ${basename(dirname(dirname(harnessPython())))}`;

/** Writes the requests of the tasks as JSON Lines to `out`. `include`: a folder of local tasks. Throws `ConfigError` for tasks that it does
 *  not have or backspin does not support. */
export const writeRequests = (setup: HarnessRequests['tasks'], include: string | null, out: string): Promise<void> =>
  runHarness('requests', { setup, include, out });

/** The numbers of tasks by `task.metric`. `lines`: the requests as written, with their `answers`. */
export async function harnessMetrics(lines: readonly object[]): Promise<Record<string, number>> {
  const folder = await mkdtemp(join(tmpdir(), 'backspin-'));
  try {
    const [answers, out] = [join(folder, 'answers.jsonl'), join(folder, 'metrics.json')];
    await writeFile(answers, lines.map((line) => `${JSON.stringify(line)}\n`).join(''));
    await runHarness('measure', { answers, out });
    return JSON.parse(await readFile(out, 'utf8')) as Record<string, number>;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** The subprocess ends with this process: it reads its standard input to the end. */
async function runHarness(verb: 'requests' | 'measure', spec: object): Promise<void> {
  const python = harnessPython();
  const scratch = await mkdtemp(join(tmpdir(), 'backspin-'));
  const file = join(scratch, 'spec.json');
  try {
    await writeFile(file, JSON.stringify(spec));
    const child = spawn(python, ['-m', 'backspin_trainer.lm_eval_tasks', verb, '--spec', file], {
      env: { ...hubEnvironment(), ...trainerEnvironment(pythonOf().trainerPath) },
      stdio: ['pipe', 'ignore', 'pipe'],
    });
    const [errors, ended] = [text(child.stderr), once(child, 'close') as Promise<[number | null]>];
    const [code] = await ended;
    if (code === 0) return;
    const said = (await errors).trim().split('\n').at(-1)!;
    throw errorOfExit(code, file, said) ?? new Error(`lm_eval ended with exit code ${code}: ${said}`);
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}
