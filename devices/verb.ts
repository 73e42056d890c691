/** Runs a short verb of the trainer, such as `merge` or `convert`, to its end. */
import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { BackspinError } from '../schemas/errors.ts';
import type { CheckSpec, ConvertSpec, GgufSpec, MergeSpec } from '../schemas/trainer.ts';
import { neededEnvironment } from './environment.ts';
import { errorOfExit } from './exits.ts';
import { pythonOf, trainerEnvironment } from './python.ts';

interface Verbs {
  readonly merge: MergeSpec;
  readonly convert: ConvertSpec;
  readonly check: CheckSpec;
  readonly gguf: GgufSpec;
}

/** Throws the error of its exit code with the sentence that it printed; `ConfigError` for a code without a meaning. */
export async function runVerb<V extends keyof Verbs>(verb: V, spec: Omit<Verbs[V], 'version'>): Promise<void> {
  const { python, trainerPath } = pythonOf();
  const scratch = await mkdtemp(join(tmpdir(), 'backspin-'));
  const file = join(scratch, `${verb}.json`);
  const env = { ...neededEnvironment(), ...trainerEnvironment(trainerPath) };
  try {
    await writeFile(file, JSON.stringify({ version: 1, ...spec }));
    await promisify(execFile)(python, ['-m', 'backspin_trainer', verb, '--spec', file], { env });
  } catch (error) {
    const { stderr, message, code } = error as Error & { stderr?: string; code?: number };
    const said = (stderr ?? message).trimEnd().split('\n').at(-1)!;
    throw errorOfExit(code ?? null, file, said) ?? new BackspinError('ConfigError', said, { cause: error });
  } finally {
    await rm(scratch, { recursive: true });
  }
}
