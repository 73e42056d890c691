/** A home, and the environment with which commands in it meet a stand-in for the Hub, with a cache of its own. */
import { join } from 'node:path';
import type { ExecutionContext } from 'ava';
import { backspin, file, root, temporary, type Ran } from '../cli/cli.ts';
import { LocalHub } from './hub.ts';

const world = join(root, 'examples/textworld');
export const base = join(world, 'base/rated');

/** An experiment of the text world with a base model, and with a seed, in YAML. */
export const experiment = (model: string, seed = '{ source: textworld.seed, params: { seed: 0 } }'): string => `recipe: humpback
modules: [${world}/module.ts]
data:
  seed: ${seed}
  corpus: { source: textworld.corpus, params: { seed: 0 } }
models:
  base: ${model}
parameters: { rounds: 1, keep: { threshold: 5 }, sft: { maxTokens: 256 } }
`;

export interface HubHome {
  readonly hub: LocalHub;
  readonly home: string;
  /** Variables of every command; change them for the next. */
  readonly env: NodeJS.ProcessEnv;
  run(...args: string[]): Promise<Ran>;
  /** Writes the experiment file and plans it. */
  plan(model: string, name?: string): Promise<Ran>;
}

export async function hubHome(t: Pick<ExecutionContext, 'teardown'>): Promise<HubHome> {
  const hub = await LocalHub.start(t);
  const home = temporary();
  const env: NodeJS.ProcessEnv = {
    HF_ENDPOINT: hub.endpoint,
    HF_HOME: join(temporary(), 'hf'),
    HF_HUB_DOWNLOAD_TIMEOUT: '3',
    HF_HUB_DISABLE_XET: '1', // a protocol that the stand-in lacks
  };
  const run = (...args: string[]) => backspin(home, args, env);
  return {
    hub,
    home,
    env,
    run,
    plan: (model, name = 'experiment') => {
      file(home, `${name}.yaml`, experiment(model));
      return run('plan', `${name}.yaml`);
    },
  };
}
