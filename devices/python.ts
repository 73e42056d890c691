/** Finds the Python of the trainer package and the versions that its results depend on. */
import { execFile } from 'node:child_process';
import { readdirSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { BackspinError } from '../schemas/errors.ts';
import type { SubprocessVerb } from '../schemas/trainer.ts';
import { neededEnvironment } from './environment.ts';
import { readSetup, SET_UP } from './installation.ts';

/** A Python with the packages of the trainer, and the folder of the trainer's own package. */
export interface TrainerPython {
  readonly python: string;
  readonly trainerPath: string;
}

/** Lets Python find the package and keeps it from importing files of the working folder, such as a user's `random.py`. */
export const trainerEnvironment = (trainerPath: string) => ({ PYTHONPATH: trainerPath, PYTHONSAFEPATH: '1' });

/** Folder of the Python code beside this code. */
export const trainerFolder: string = join(dirname(import.meta.dirname), 'trainer');

/** The Python that set-up made, and the trainer beside this code. */
export const pythonOf = (): TrainerPython => ({ python: readSetup().python, trainerPath: trainerFolder });

/** Output of `backspin_trainer identity`: for each verb a digest of its code and the versions of the packages that compute. */
export type TrainerIdentity = Readonly<Record<SubprocessVerb | 'serve' | 'check' | 'gguf', object>>;

const identities = new Map<string, Promise<TrainerIdentity>>();

/** Returns the identity, cached for as long as the trainer's files do not change. Throws `ConfigError`. */
export function trainerIdentity({ python, trainerPath }: TrainerPython): Promise<TrainerIdentity> {
  const key = JSON.stringify([python, fileStamps(join(trainerPath, 'backspin_trainer'))]);
  const identity = identities.get(key) ?? requestIdentity(python, trainerPath);
  identities.set(key, identity);
  identity.catch(() => identities.delete(key));
  return identity;
}

async function requestIdentity(python: string, trainerPath: string): Promise<TrainerIdentity> {
  try {
    const env = { ...neededEnvironment(), ...trainerEnvironment(trainerPath) };
    const { stdout } = await promisify(execFile)(python, ['-m', 'backspin_trainer', 'identity'], { env, timeout: 120_000 });
    return JSON.parse(stdout) as TrainerIdentity;
  } catch (error) {
    const lastLine = (error as { stderr?: string }).stderr?.trim().split('\n').at(-1) || (error as Error).message;
    throw new BackspinError('ConfigError', `${python} does not run the trainer (${lastLine}): ${SET_UP}.`);
  }
}

/** Name, size and times of each source file. */
const fileStamps = (folder: string) =>
  readdirSync(folder)
    .filter((name) => name.endsWith('.py'))
    .map((name) => {
      const { size, mtimeMs, ctimeMs } = statSync(join(folder, name));
      return [name, size, mtimeMs, ctimeMs];
    });
