/** Binds the data of an experiment file: resolves the names of datasets on the Hub, and finds their files. */
import type { HubDataset } from '../recipe/define.ts';
import type { BoundConfig } from '../schemas/config.ts';
import { BackspinError } from '../schemas/errors.ts';
import type { Source } from '../schemas/yaml.ts';
import { lookUpDataset } from '../steps/hub-data.ts';
import type { Registry } from '../steps/registry.ts';
import { resolveName, type Launched } from './hub-names.ts';

/** The id of a source and its checked parameters. */
interface Checked {
  readonly id: string;
  readonly params: object;
  readonly decontaminate?: BoundConfig['data'][string]['decontaminate'];
}
interface Binding {
  readonly folder: string;
  readonly registry: Registry;
  readonly launched: Launched;
}

/** Reports every dataset that the Hub does not have, or that has no files which the source can read. */
export async function bindData(
  source: Source,
  data: Readonly<Record<string, Checked>>,
  { folder, registry, launched }: Binding,
): Promise<BoundConfig['data']> {
  const bound = Object.entries(data).map(async ([label, { id, params, decontaminate }]) => {
    const definition = registry.source(id);
    const dataset = definition.hub?.(params as never);
    const commit = dataset && (await commitOf(source, label, dataset, definition, launched));
    const { repository, revision } = dataset ?? {};
    const hub = commit !== undefined && { hub: { repository, revision, commit } };
    return [label, { source: id, params, folder, ...hub, ...(decontaminate && { decontaminate }) }] as const;
  });
  return Object.fromEntries(await Promise.all(bound)) as BoundConfig['data'];
}

async function commitOf(
  source: Source,
  label: string,
  dataset: HubDataset,
  definition: { readonly endings?: RegExp },
  launched: Launched,
): Promise<string> {
  const { repository, revision } = dataset;
  try {
    const look = (at: string) => lookUpDataset({ ...dataset, revision: at }, definition);
    return (await resolveName({ kind: 'dataset', repository, revision }, launched, look)).commit;
  } catch (error) {
    if (!(error instanceof BackspinError)) throw error;
    source.problem(['data', label, 'params'], error.message);
    return '';
  }
}
