/** Grants workers permission to run code and send keys for an experiment. Anyone who can reach the Temporal server can start a workflow
 *  with any input, so workers accept only what a launch from their home has granted. */
import type { TrainingCommand } from '../schemas/config.ts';
import type { External } from '../schemas/external.ts';
import type { Notify } from '../schemas/notify.ts';
import { BackspinError } from '../schemas/errors.ts';
import type { Serving } from '../schemas/serving.ts';
import type { Store } from '../store/store.ts';
import type { StepContext } from '../schemas/steps.ts';
import { keepPrompts } from './prompt-files.ts';

export interface Grant {
  /** Used in the error sentence if the grant is missing. */
  readonly what: string;
  readonly grant: object;
}

export const ofModules = (modules: StepContext['modules']): Grant[] =>
  modules.map(({ path, digest }) => ({ what: `the module ${path}, as it is now,`, grant: { module: { path, digest } } }));

export const ofServing = (serving: Serving): Grant[] => {
  if (serving.engine !== 'vllm') return [];
  const { python, arguments: more } = serving;
  return [{ what: `vLLM of ${python ?? 'BACKSPIN_VLLM_PYTHON'} with these arguments`, grant: { vllm: { python, arguments: more } } }];
};

const ofExternal = ({ url, key }: External): Grant[] =>
  key === null ? [] : [{ what: `the key of ${url}`, grant: { external: { url, key } } }];

const ofCommand = ({ run, config }: TrainingCommand): Grant => ({
  what: `the training command ${run[0]} with these arguments`,
  grant: { command: { run, config: config && config.text } },
});

export const ofNotify = ({ url }: Notify): Grant => ({
  what: typeof url === 'string' ? `messages to ${new URL(url).host}` : 'messages to this address',
  grant: { notify: { url } },
});

export type Granting = Pick<StepContext, 'serving' | 'roles' | 'external'> & Partial<Pick<StepContext, 'training' | 'notify'>>;
export const ofContext = ({ serving, roles, external, training, notify }: Granting): Grant[] => [
  ...(notify ? [ofNotify(notify)] : []),
  ...(training?.command ? [ofCommand(training.command)] : []),
  ...[serving, ...Object.values(roles)].flatMap(ofServing),
  ...external.flatMap(ofExternal),
];

/** Grants everything that a launch needs, and keeps its prompt files: the user of the command line owns the home. */
export async function grantAll(store: Store, context: Granting & Pick<StepContext, 'modules'>): Promise<void> {
  await keepPrompts(store, context.modules);
  for (const { grant } of [...ofModules(context.modules), ...ofContext(context)]) await store.grant(grant);
}

export async function checkGrants(store: Store, grants: readonly Grant[]): Promise<void> {
  for (const { what, grant } of grants) {
    if (await store.isGranted(grant)) continue;
    throw new BackspinError(
      'ConfigError',
      `No launch from this home has named ${what}, so its workers do not use it: \`backspin launch FILE\` with the file of the experiment grants it; retry the step then.`,
    );
  }
}
