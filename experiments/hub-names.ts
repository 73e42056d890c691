/** Resolves names on the Hugging Face Hub to commits: once for an experiment, at its launch. */
import { existsSync } from 'node:fs';
import { openHome } from '../host/home-store.ts';
import { inHome } from '../host/home.ts';
import type { BoundConfig, HubModel } from '../schemas/config.ts';
import { BackspinError } from '../schemas/errors.ts';
import type { ExperimentRecord } from '../schemas/experiment.ts';
import { lookUpModel, type HubModelName } from '../steps/hub-model.ts';

/** What was launched under the name of an experiment. */
export interface Launched {
  readonly experiment: string;
  /** Default: as the store has it. */
  readonly config: BoundConfig | undefined;
}
/** `folder` has all files but the weights, `used` names the files that a model consists of. Without them the Hub cannot be asked, and an
 *  earlier launch has checked the files. */
export type ResolvedModel = { readonly commit: string; readonly folder?: string; readonly used?: readonly string[] };

/** A name has the commit of the experiment's earlier launch. Without a network it has that of the newest launch that named it. Throws like
 *  `lookUpModel`. */
export async function resolveModel(name: HubModelName, { experiment, config }: Launched): Promise<ResolvedModel> {
  const records = await launches();
  const own = config ?? records.find((record) => record.name === experiment)?.config;
  const known = commitIn(own as BoundConfig | undefined, name);
  try {
    return await lookUpModel(known === undefined ? name : { ...name, revision: known });
  } catch (error) {
    if (!(error instanceof BackspinError)) throw error;
    const offline = error.type === 'Down' || Boolean(process.env['HF_HUB_OFFLINE']);
    const commit = known ?? (offline ? records.flatMap((record) => commitIn(record.config as BoundConfig, name) ?? [])[0] : undefined);
    if (commit === undefined) throw error;
    return { commit };
  }
}

const commitIn = (config: BoundConfig | undefined, { hub, revision }: HubModelName): string | undefined =>
  Object.values(config?.models ?? {}).find((model): model is HubModel => 'hub' in model && model.hub === hub && model.revision === revision)
    ?.commit;

/** Readable records of this home, newest first. */
async function launches(): Promise<ExperimentRecord[]> {
  if (!existsSync(inHome('store'))) return [];
  const store = await openHome();
  const records = await Promise.all((await store.experimentNames()).map((name) => store.experiment(name).catch(() => undefined)));
  return records.filter((record) => record !== undefined).toSorted((a, b) => (a.updated < b.updated ? 1 : -1));
}
