/** Licenses of the models and datasets that an export was made from, as their own READMEs name them. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parse } from 'yaml';
import { z } from 'zod';
import { lookUpRepository, type Repository } from '../devices/hub.ts';
import type { BoundConfig } from '../schemas/config.ts';
import { BackspinError } from '../schemas/errors.ts';
import type { Step } from '../schemas/experiment.ts';

export interface License {
  /** `model` or `dataset`, and its name in the experiment file. */
  readonly kind: Repository['kind'];
  readonly name: string;
  /** Its repository on the Hub, if it comes from there. */
  readonly hub: string | null;
  /** null: unknown. */
  readonly license: string | null;
}

/** Of the models and datasets that these steps imported, apart from models that begin without weights. */
export async function licensesOf({ models, data }: BoundConfig, steps: readonly Pick<Step, 'path'>[]): Promise<License[]> {
  const licenses: License[] = [];
  for (const { path } of steps) {
    const [, kind, name = ''] = /^(model|data)-(.+)$/.exec(path) ?? [];
    const [model, source] = kind === 'model' ? [models[name]] : kind === 'data' ? [undefined, data[name]] : [];
    if (model && !('init' in model)) {
      const hub = 'hub' in model ? model.hub : null;
      licenses.push({ kind: 'model', name, hub, license: licenseIn(await readmeOfModel(model)) });
    }
    if (source)
      licenses.push({ kind: 'dataset', name, hub: source.hub?.repository ?? null, license: licenseIn(await readmeOfData(source)) });
  }
  return licenses;
}

type Readme = Promise<string | undefined>;

async function readmeOfModel(model: BoundConfig['models'][string]): Readme {
  if ('hub' in model) return readmeOnHub({ kind: 'model', repository: model.hub, revision: model.commit });
  return 'path' in model ? readIn(model.path) : undefined;
}
const readmeOfData = async ({ hub }: BoundConfig['data'][string]): Readme =>
  hub && readmeOnHub({ kind: 'dataset', repository: hub.repository, revision: hub.commit });

const README = 'README.md';
/** undefined without a README, or without a network unless the Hub's cache has it. */
async function readmeOnHub(repository: Repository): Readme {
  try {
    const { folder } = await lookUpRepository(repository, /^README\.md$/);
    return await readIn(folder);
  } catch (error) {
    if (error instanceof BackspinError) return undefined;
    throw error;
  }
}
const readIn = (folder: string): Readme => readFile(join(folder, README), 'utf8').catch(() => undefined);

const head = z.object({
  license: z.union([z.string(), z.array(z.string())]),
  license_name: z.string().optional(),
  license_link: z.string().optional(),
});

/** The license in the front matter of a README; null if it has none. */
export function licenseIn(readme = ''): string | null {
  const [, front = ''] = /^\ufeff?---\r?\n([\s\S]*?)\r?\n---/.exec(readme) ?? [];
  try {
    const { license, license_name: name, license_link: link } = head.parse(parse(front));
    return [license, name ?? [], link ?? []].flat().join(', ') || null;
  } catch {
    return null;
  }
}
