/** An experiment file that is sound, and what is said of one that is not. */
import { join } from 'node:path';
import { loadExperiment } from '../../experiments/config.ts';
import { file, root, temporary } from '../cli/cli.ts';

export const world = join(root, 'examples/textworld');
export const sound = `recipe: humpback
modules: [${world}/module.ts]
data:
  seed: { source: textworld.seed, params: { seed: 0 } }
  corpus: { source: textworld.corpus, params: { seed: 0 } }
models:
  base: { path: ${world}/base/rated }
evaluation:
  forward: { suite: textworld.forward, params: { seed: 0 } }
parameters:
  rounds: 2
  keep: { threshold: 4 }
  sft: { maxTokens: 256 }
`;
export const write = (text: string) => file(temporary(), 'experiment.yaml', text);
export const fault = async (t: import('ava').ExecutionContext, text: string, ...sets: string[]): Promise<string> => {
  const error = await t.throwsAsync(loadExperiment(write(text), sets));
  t.is(error.name, 'ConfigError');
  return error.message;
};
