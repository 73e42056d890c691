/** Definitions by name: those that come with backspin, and those of an experiment's own modules. */
import { dirname, join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { Definition } from '../recipe/define.ts';
import { BackspinError } from '../schemas/errors.ts';
import { nearest } from '../schemas/nearest.ts';
import { canonicalJson, sha256 } from '../schemas/canonical.ts';
import { namespaces as operators } from '../operators/index.ts';
import { importModule, importVersion, type Module } from './modules.ts';
import { homesOf, isOurs, named, Sources } from './source-files.ts';

export { moduleDigest } from './modules.ts';

type Kind = Definition['is'];
type Defined<K extends Kind> = Extract<Definition, { readonly is: K }>;
const kinds: ReadonlySet<string> = new Set<Kind>(['operator', 'reducer', 'template', 'prompt', 'suite', 'data-suite', 'source']);

const root = dirname(import.meta.dirname);
/** The namespaces that come with backspin: the files that they begin in, and what those export. */
const builtIn: Readonly<Record<string, readonly (readonly [entry: string, load: () => Promise<object>])[]>> = Object.fromEntries(
  Object.entries(operators).map(([name, load]) => [
    name,
    [
      [join(root, 'operators', name, 'index.ts'), load],
      ...(name === 'std' ? [[join(root, 'sources', 'index.ts'), () => import('../sources/index.ts')] as const] : []),
    ],
  ]),
);

interface Namespace {
  readonly definitions: ReadonlyMap<string, Definition>;
  readonly module: boolean;
  /** Files behind the whole namespace, and behind each of its definitions: name -> sha256. */
  readonly files: Files;
  behind(definition: Definition): Behind;
}
type Files = Readonly<Record<string, string>>;
/** Files behind a definition: those of backspin, and those of the experiment's own module. */
interface Behind {
  readonly ours: Files;
  readonly own: Files;
}

/** Each look-up takes `namespace.name` and throws `ConfigError` with the nearest valid name. */
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
  /** sha256 over all source files of a namespace, and the names of the namespaces that one of these files stands behind. */
  sourceDigest(namespace: string): string;
  namespacesWith(files: readonly string[]): string[];
  readonly namespaces: readonly string[];
  /** Whether a namespace is the experiment's own. */
  isModule(namespace: string): boolean;
}

/** Throws `ConfigError` for a module that has changed since its digest was taken, or cannot be loaded. */
export async function loadRegistry(modules: readonly Module[]): Promise<Registry> {
  const namespaces = new Map<string, Namespace>();
  const sources = new Sources();
  for (const [name, parts] of Object.entries(builtIn)) {
    const exported = await Promise.all(parts.map(([, load]) => load()));
    const loadFile = (path: string) => import(pathToFileURL(path).href) as Promise<object>;
    const entries = parts.map(([entry]) => entry);
    namespaces.set(name, await namespaceOf(Object.assign({}, ...exported) as object, false, entries, sources, loadFile));
  }
  for (const module of modules) {
    const exported = await importModule(module);
    const name = 'namespace' in exported ? exported.namespace : undefined;
    if (typeof name !== 'string' || !/^[a-z][a-z0-9-]*$/.test(name)) {
      throw new BackspinError(
        'ConfigError',
        `The module ${module.path} does not say its namespace: add \`export const namespace = 'name'\` with lower-case letters, digits and hyphens.`,
      );
    }
    if (namespaces.has(name))
      throw new BackspinError(
        'ConfigError',
        `The module ${module.path} calls its namespace "${name}", and so does ${name in builtIn ? 'backspin' : 'another module'}: give it another name.`,
      );
    namespaces.set(name, await namespaceOf(exported, true, [resolve(module.path)], sources, (path) => importVersion(path, module.digest)));
  }

  function definitionOf(id: string): Definition | undefined {
    const [name = '', own = ''] = id.split('.');
    return namespaces.get(name)?.definitions.get(own);
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
    const ids = [...namespaces].flatMap(([namespace, { definitions }]) =>
      [...definitions].filter(([, { is }]) => wanted.includes(is)).map(([name]) => `${namespace}.${name}`),
    );
    const namespace = id.split('.')[0]!;
    const own = ids.filter((other) => other.startsWith(`${namespace}.`));
    const near = nearest(id, ids);
    const has =
      own.length > 0
        ? `${namespace} has ${own.join(', ')}`
        : namespaces.has(namespace)
          ? `${namespace} has none`
          : `there is no namespace "${namespace}", only ${[...namespaces.keys()].join(', ')}`;
    return `${near === undefined ? '' : `; the nearest is ${near}`}; ${has}`;
  }
  function namespaceNamed(name: string): Namespace {
    const namespace = namespaces.get(name);
    if (!namespace) throw new BackspinError('ConfigError', `There is no namespace "${name}", only ${[...namespaces.keys()].join(', ')}.`);
    return namespace;
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
    behind: (id) => namespaceNamed(id.split('.')[0]!).behind(find(id, ...([...kinds] as Kind[]))),
    sourceDigest: (namespace) => sha256(canonicalJson(namespaceNamed(namespace).files)),
    namespacesWith: (files) =>
      [...namespaces].filter(([, namespace]) => files.some((file) => file in namespace.files)).map(([name]) => name),
    namespaces: [...namespaces.keys()],
    isModule: (namespace) => namespaceNamed(namespace).module,
  };
}

const isDefinition = (x: unknown): x is Definition => typeof x === 'object' && x !== null && 'is' in x && kinds.has(x.is as string);
const definitionsIn = (exported: object): Map<string, Definition> =>
  new Map(Object.entries(exported).filter((entry): entry is [string, Definition] => isDefinition(entry[1])));

async function namespaceOf(
  exported: object,
  module: boolean,
  entries: readonly string[],
  sources: Sources,
  load: (path: string) => Promise<object>,
): Promise<Namespace> {
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
