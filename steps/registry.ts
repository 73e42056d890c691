/** Looks up definitions by name: backspin's own, and those of an experiment's modules. */
import type { Definition } from '../recipe/define.ts';
import { canonicalJson, sha256 } from '../schemas/canonical.ts';
import { BackspinError } from '../schemas/errors.ts';
import { nearest } from '../schemas/nearest.ts';
import type { Store } from '../store/store.ts';
import type { Module } from './modules.ts';
import { kinds, loadNamespaces, type Behind, type Kind, type Namespace } from './namespaces.ts';

export { moduleDigest } from './modules.ts';

type Defined<K extends Kind> = Extract<Definition, { readonly is: K }>;

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
  /** The file of a definition and all files that it imports. `own` files are part of step keys; a change of `ours` under the same version
   *  stops a step. */
  behind(id: string): Behind;
  /** sha256 over all source files of a namespace. */
  sourceDigest(namespace: string): string;
  /** Namespaces that use one of these files. */
  namespacesWith(files: readonly string[]): string[];
  readonly namespaces: readonly string[];
  /** Whether a namespace belongs to an experiment's module. */
  isModule(namespace: string): boolean;
}

/** `store` has the prompt files of launched experiments. Throws `ConfigError` for a module that has changed since its digest was taken, or
 *  cannot be loaded. */
export async function loadRegistry(modules: readonly Module[], store?: Pick<Store, 'prompt'>): Promise<Registry> {
  const namespaces = await loadNamespaces(modules, store);

  function find<K extends Kind>(id: string, ...wanted: K[]): Defined<K> {
    const definition = definitionIn(namespaces, id);
    if (definition && (wanted as readonly Kind[]).includes(definition.is)) return definition as Defined<K>;
    throw new BackspinError(
      'ConfigError',
      `${definition ? `${id} is of the kind ${definition.is}, and not ${wanted[0]!}` : `There is no ${wanted[0]!} "${id}"`}${alternatives(namespaces, id, wanted)}.`,
    );
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
    isPrompt: (id) => definitionIn(namespaces, id)?.is === 'prompt',
    suite: (id) => find(id, 'suite', 'data-suite'),
    source: (id) => find(id, 'source'),
    version: (id) => find(id, ...kinds).version,
    behind: (id) => namespaceNamed(id.split('.')[0]!).behind(find(id, ...kinds)),
    sourceDigest: (namespace) => sha256(canonicalJson(namespaceNamed(namespace).files)),
    namespacesWith: (files) =>
      [...namespaces].filter(([, namespace]) => files.some((file) => file in namespace.files)).map(([name]) => name),
    namespaces: [...namespaces.keys()],
    isModule: (namespace) => namespaceNamed(namespace).module,
  };
}

type Namespaces = ReadonlyMap<string, Namespace>;

function definitionIn(namespaces: Namespaces, id: string): Definition | undefined {
  const [name = '', own = ''] = id.split('.');
  return namespaces.get(name)?.definitions.get(own);
}

/** The end of the sentence about an unknown id: the nearest name, and the names in its namespace. */
function alternatives(namespaces: Namespaces, id: string, wanted: readonly Kind[]): string {
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
