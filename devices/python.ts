/** How the trainer package is started, and what its results depend on. */
import { execFile } from 'node:child_process';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { BackspinError } from '../schemas/errors.ts';
import { neededEnvironment } from './environment.ts';

/** A Python that has the packages of the trainer, and the folder of the trainer's own package. */
export interface TrainerPython {
  readonly python: string;
  readonly trainerPath: string;
}

/** The environment in which Python finds the package, and takes nothing from the folder that it is started in: a user's `random.py`, say. */
export const trainerEnvironment = (trainerPath: string) => ({ PYTHONPATH: trainerPath, PYTHONSAFEPATH: '1' });

/** The Python that set-up made, and the trainer beside this code. */
export function pythonOf(): TrainerPython {
  const root = dirname(import.meta.dirname);
  try {
    const { python } = JSON.parse(readFileSync(resolve(root, 'node_modules/.backspin-setup.json'), 'utf8')) as { python: string };
    return { python, trainerPath: resolve(root, 'trainer') };
  } catch {
    throw new BackspinError('ConfigError', 'The Python environment is not set up: run `npm run setup` in the backspin folder.');
  }
}

/** What `backspin_trainer identity` says of each verb: a digest of its code, and the versions of the packages that compute. */
export type TrainerIdentity = Readonly<Record<'train' | 'embed' | 'score' | 'serve', object>>;

const known = new Map<string, Promise<TrainerIdentity>>();

/** Asks that Python once for as long as the trainer's files stay as they are. Throws `ConfigError`. */
export function trainerIdentity({ python, trainerPath }: TrainerPython): Promise<TrainerIdentity> {
  const seen = JSON.stringify([python, stampsIn(join(trainerPath, 'backspin_trainer'))]);
  const identity = known.get(seen) ?? ask(python, trainerPath);
  known.set(seen, identity);
  identity.catch(() => known.delete(seen));
  return identity;
}

async function ask(python: string, trainerPath: string): Promise<TrainerIdentity> {
  try {
    const env = { ...neededEnvironment(), ...trainerEnvironment(trainerPath) };
    const { stdout } = await promisify(execFile)(python, ['-m', 'backspin_trainer', 'identity'], { env, timeout: 120_000 });
    return JSON.parse(stdout) as TrainerIdentity;
  } catch (error) {
    const said = (error as { stderr?: string }).stderr?.trim().split('\n').at(-1) || (error as Error).message;
    throw new BackspinError('ConfigError', `${python} does not run the trainer (${said}): run \`npm run setup\` in the backspin folder.`);
  }
}

/** Name, size and times of each source. */
const stampsIn = (folder: string) =>
  readdirSync(folder)
    .filter((name) => name.endsWith('.py'))
    .map((name) => {
      const { size, mtimeMs, ctimeMs } = statSync(join(folder, name));
      return [name, size, mtimeMs, ctimeMs];
    });
