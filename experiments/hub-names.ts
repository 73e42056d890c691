/** Resolves names on the Hugging Face Hub to commits: once for an experiment, at its launch. */
import { existsSync } from 'node:fs';
import { openHome } from '../host/home-store.ts';
import { inHome } from '../host/home.ts';
import type { BoundConfig } from '../schemas/config.ts';
import { BackspinError } from '../schemas/errors.ts';
import type { ExperimentRecord } from '../schemas/experiment.ts';

export interface HubName {
  readonly kind: 'model' | 'dataset';
  readonly repository: string;
  readonly revision: string;
}
/** What was launched under the name of an experiment. */
export interface Launched {
  readonly experiment: string;
  /** Default: as the store has it. */
  readonly config: BoundConfig | undefined;
}

/** Looks a repository up at a revision. A name has the commit of the experiment's earlier launch; without a network, that of the newest
 *  launch that named it. Then the Hub may be out of reach: the earlier launch has checked the files, and the result is a commit alone. Throws
 *  what `lookUp` throws. */
export async function resolveName<T extends { readonly commit: string }>(
  name: HubName,
  { experiment, config }: Launched,
  lookUp: (revision: string) => Promise<T>,
): Promise<T | { readonly commit: string }> {
  const records = await launches();
  const own = config ?? records.find((record) => record.name === experiment)?.config;
  const known = commitIn(own as BoundConfig | undefined, name);
  try {
    return await lookUp(known ?? name.revision);
  } catch (error) {
    if (!(error instanceof BackspinError)) throw error;
    const offline = error.type === 'Down' || Boolean(process.env['HF_HUB_OFFLINE']);
    const commit = known ?? (offline ? records.flatMap((record) => commitIn(record.config as BoundConfig, name) ?? [])[0] : undefined);
    if (commit === undefined) throw error;
    return { commit };
  }
}

function commitIn(config: BoundConfig | undefined, { kind, repository, revision }: HubName): string | undefined {
  const named =
    kind === 'model'
      ? Object.values(config?.models ?? {}).flatMap((model) => ('hub' in model ? [{ ...model, repository: model.hub }] : []))
      : Object.values(config?.data ?? {}).flatMap(({ hub }) => hub ?? []);
  return named.find((one) => one.repository === repository && one.revision === revision)?.commit;
}

/** Readable records of this home, newest first. */
async function launches(): Promise<ExperimentRecord[]> {
  if (!existsSync(inHome('store'))) return [];
  const store = await openHome();
  const records = await Promise.all((await store.experimentNames()).map((name) => store.experiment(name).catch(() => undefined)));
  return records.filter((record) => record !== undefined).toSorted((a, b) => (a.updated < b.updated ? 1 : -1));
}
