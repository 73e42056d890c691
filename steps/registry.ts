/** Definitions by name: those that come with backspin, and those of an experiment's own modules. */
import { dirname, join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { Definition } from '../recipe/define.ts';
import { BackspinError } from '../schemas/errors.ts';
import { nearest } from '../schemas/nearest.ts';
import { canonicalJson, sha256 } from '../schemas/canonical.ts';
import { spaces as operators } from '../operators/index.ts';
import { importModule, importVersion, type Module } from './modules.ts';
import { homesOf, isOurs, named, Sources } from './source-files.ts';

export { moduleDigest } from './modules.ts';

type Kind = Definition['is'];
type Defined<K extends Kind> = Extract<Definition, { readonly is: K }>;
const kinds: ReadonlySet<string> = new Set<Kind>(['operator', 'reducer', 'template', 'prompt', 'suite', 'data-suite', 'source']);

const root = dirname(import.meta.dirname);
/** The spaces that come with backspin: the files that they begin in, and what those export. */
const builtIn: Readonly<Record<string, readonly (readonly [entry: string, load: () => Promise<object>])[]>> = Object.fromEntries(
  Object.entries(operators).map(([name, load]) => [
    name,
    [
      [join(root, 'operators', name, 'index.ts'), load],
      ...(name === 'std' ? [[join(root, 'sources', 'index.ts'), () => import('../sources/index.ts')] as const] : []),
    ],
  ]),
);

interface Space {
  readonly definitions: ReadonlyMap<string, Definition>;
  readonly module: boolean;
  /** Files behind the whole space, and behind each of its definitions: name -> sha256. */
  readonly files: Files;
  behind(definition: Definition): Behind;
}
type Files = Readonly<Record<string, string>>;
/** Files behind a definition: those of backspin, and those of the experiment's own module. */
interface Behind {
  readonly ours: Files;
  readonly own: Files;
}

/** Each look-up takes `space.name` and throws `ConfigError` with the nearest valid name. */
export interface Registry {
  operator(id: string): Defined<'operator'>;
  reducer(id: string): Defined<'reducer'>;
  template(id: string): Defined<'template'>;
  prompt(id: string): Defined<'prompt'>;
  isPrompt(id: string): boolean;
  suite(id: string): Defined<'suite' | 'data-suite'>;
  source(id: string): Defined<'source'>;
  version(id: string): number;
  /** The files that a definition is written in and imports. What is `own` is part of the keys of steps; a change of `ours` under the same
   *  version stops a step. */
  behind(id: string): Behind;
  /** sha256 over all source files of a space, and the names of the spaces that one of these files stands behind. */
  sourceDigest(space: string): string;
  spacesWith(files: readonly string[]): string[];
  readonly spaces: readonly string[];
  /** Whether a space is the experiment's own. */
  isModule(space: string): boolean;
}

/** Throws `ConfigError` for a module that has changed since its digest was taken, or cannot be loaded. */
export async function loadRegistry(modules: readonly Module[]): Promise<Registry> {
  const spaces = new Map<string, Space>();
  const sources = new Sources();
  for (const [name, parts] of Object.entries(builtIn)) {
    const exported = await Promise.all(parts.map(([, load]) => load()));
    const loadFile = (path: string) => import(pathToFileURL(path).href) as Promise<object>;
    const entries = parts.map(([entry]) => entry);
    spaces.set(name, await spaceOf(Object.assign({}, ...exported) as object, false, entries, sources, loadFile));
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
    spaces.set(name, await spaceOf(exported, true, [resolve(module.path)], sources, (path) => importVersion(path, module.digest)));
  }

  function definitionOf(id: string): Definition | undefined {
    const [name = '', own = ''] = id.split('.');
    return spaces.get(name)?.definitions.get(own);
  }
  function find<K extends Kind>(id: string, ...wanted: K[]): Defined<K> {
    const definition = definitionOf(id);
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
  function spaceNamed(name: string): Space {
    const space = spaces.get(name);
    if (!space) throw new BackspinError('ConfigError', `There is no space "${name}", only ${[...spaces.keys()].join(', ')}.`);
    return space;
  }
  return {
    operator: (id) => find(id, 'operator'),
    reducer: (id) => find(id, 'reducer'),
    template: (id) => find(id, 'template'),
    prompt: (id) => find(id, 'prompt'),
    isPrompt: (id) => definitionOf(id)?.is === 'prompt',
    suite: (id) => find(id, 'suite', 'data-suite'),
    source: (id) => find(id, 'source'),
    version: (id) => find(id, ...([...kinds] as Kind[])).version,
    behind: (id) => spaceNamed(id.split('.')[0]!).behind(find(id, ...([...kinds] as Kind[]))),
    sourceDigest: (space) => sha256(canonicalJson(spaceNamed(space).files)),
    spacesWith: (files) => [...spaces].filter(([, space]) => files.some((file) => file in space.files)).map(([name]) => name),
    spaces: [...spaces.keys()],
    isModule: (space) => spaceNamed(space).module,
  };
}

const isDefinition = (x: unknown): x is Definition => typeof x === 'object' && x !== null && 'is' in x && kinds.has(x.is as string);
const definitionsIn = (exported: object): Map<string, Definition> =>
  new Map(Object.entries(exported).filter((entry): entry is [string, Definition] => isDefinition(entry[1])));

async function spaceOf(
  exported: object,
  module: boolean,
  entries: readonly string[],
  sources: Sources,
  load: (path: string) => Promise<object>,
): Promise<Space> {
  const definitions = definitionsIn(exported);
  const homes = await homesOf(entries, definitions.values(), sources, load);
  const filesOf = (paths: readonly string[], wanted: (path: string) => boolean = () => true) =>
    named(new Map(paths.flatMap((path) => [...sources.behind(path)]).filter(([file]) => wanted(file))), dirname(entries[0]!));
  const behind = new Map(
    [...definitions.values()].map((definition) => {
      const home = homes.has(definition) ? [homes.get(definition)!] : entries;
      return [definition, { ours: filesOf(home, isOurs), own: filesOf(home, (file) => !isOurs(file)) }];
    }),
  );
  return {
    definitions,
    module,
    files: filesOf(entries),
    behind: (definition) => behind.get(definition)!,
  };
}
