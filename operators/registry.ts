/** Definitions by name: those that come with backspin, and those of an experiment's own modules. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Definition } from '../recipe/define.ts';
import { BackspinError } from '../schemas/errors.ts';
import { nearest } from '../schemas/nearest.ts';
import { canonicalJson, sha256 } from '../store/canonical.ts';
import { spaces as builtIn } from './index.ts';
import { importModule } from './modules.ts';

export { moduleDigest } from './modules.ts';

type Kind = Definition['is'];
type Defined<K extends Kind> = Extract<Definition, { readonly is: K }>;
const kinds: ReadonlySet<string> = new Set<Kind>(['operator', 'reducer', 'template', 'prompt', 'suite', 'data-suite', 'source']);

interface Space {
  readonly definitions: ReadonlyMap<string, Definition>;
  readonly module: boolean;
  readonly digest: string;
}

/** Each look-up takes `space.name` and throws `ConfigError` with the nearest valid name. */
export interface Registry {
  operator(id: string): Defined<'operator'>;
  reducer(id: string): Defined<'reducer'>;
  template(id: string): Defined<'template'>;
  prompt(id: string): Defined<'prompt'>;
  suite(id: string): Defined<'suite' | 'data-suite'>;
  source(id: string): Defined<'source'>;
  version(id: string): number;
  /** sha256 over the source files of a space. */
  sourceDigest(space: string): string;
  /** Whether a space is the experiment's own. */
  isModule(space: string): boolean;
}

/** Throws `ConfigError` for a module that has changed since its digest was taken, or cannot be loaded. */
export async function loadRegistry(modules: readonly { readonly path: string; readonly digest: string }[]): Promise<Registry> {
  const spaces = new Map<string, Space>();
  for (const [name, load] of Object.entries(builtIn)) {
    spaces.set(name, { definitions: definitionsIn(await load()), module: false, digest: folderDigest(name) });
  }
  for (const module of modules) {
    const exported = await importModule(module);
    const name = 'space' in exported ? exported.space : undefined;
    if (typeof name !== 'string' || !/^[a-z][a-z0-9-]*$/.test(name)) {
      throw new BackspinError(
        'ConfigError',
        `The module ${module.path} does not say its space: add \`export const space = 'name'\` with lower-case letters, digits and hyphens.`,
      );
    }
    if (spaces.has(name))
      throw new BackspinError(
        'ConfigError',
        `The module ${module.path} calls its space "${name}", and so does ${name in builtIn ? 'backspin' : 'another module'}: give it another name.`,
      );
    spaces.set(name, { definitions: definitionsIn(exported), module: true, digest: module.digest });
  }

  function find<K extends Kind>(id: string, ...wanted: K[]): Defined<K> {
    const [name = '', own = ''] = id.split('.');
    const definition = spaces.get(name)?.definitions.get(own);
    if (definition && (wanted as Kind[]).includes(definition.is)) return definition as Defined<K>;
    throw new BackspinError(
      'ConfigError',
      `${definition ? `${id} is of the kind ${definition.is}, and not ${wanted[0]!}` : `There is no ${wanted[0]!} "${id}"`}${choice(id, wanted)}.`,
    );
  }
  /** What there is instead. */
  function choice(id: string, wanted: readonly Kind[]): string {
    const ids = [...spaces].flatMap(([space, { definitions }]) =>
      [...definitions].filter(([, { is }]) => wanted.includes(is)).map(([name]) => `${space}.${name}`),
    );
    const space = id.split('.')[0]!;
    const own = ids.filter((other) => other.startsWith(`${space}.`));
    const near = nearest(id, ids);
    const has =
      own.length > 0
        ? `${space} has ${own.join(', ')}`
        : spaces.has(space)
          ? `${space} has none`
          : `there is no space "${space}", only ${[...spaces.keys()].join(', ')}`;
    return `${near === undefined ? '' : `; the nearest is ${near}`}; ${has}`;
  }
  function spaceOf(name: string): Space {
    const space = spaces.get(name);
    if (!space) throw new BackspinError('ConfigError', `There is no space "${name}", only ${[...spaces.keys()].join(', ')}.`);
    return space;
  }
  return {
    operator: (id) => find(id, 'operator'),
    reducer: (id) => find(id, 'reducer'),
    template: (id) => find(id, 'template'),
    prompt: (id) => find(id, 'prompt'),
    suite: (id) => find(id, 'suite', 'data-suite'),
    source: (id) => find(id, 'source'),
    version: (id) => find(id, ...([...kinds] as Kind[])).version,
    sourceDigest: (space) => spaceOf(space).digest,
    isModule: (space) => spaceOf(space).module,
  };
}

const isDefinition = (x: unknown): x is Definition => typeof x === 'object' && x !== null && 'is' in x && kinds.has(x.is as string);
const definitionsIn = (exported: object): Map<string, Definition> =>
  new Map(Object.entries(exported).filter((entry): entry is [string, Definition] => isDefinition(entry[1])));

function folderDigest(space: string): string {
  const folder = join(import.meta.dirname, space);
  const files = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((file) => /\.[jt]s$/.test(file));
  return sha256(canonicalJson(Object.fromEntries(files.map((file) => [file, sha256(readFileSync(join(folder, file)))]))));
}
