/** Loads namespaces of definitions: backspin's own, and those of an experiment's modules. */
import { dirname, join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { namespaces as operators } from '../operators/index.ts';
import type { Definition } from '../recipe/define.ts';
import { SOURCE } from '../devices/installation.ts';
import { BackspinError } from '../schemas/errors.ts';
import type { Store } from '../store/store.ts';
import { importModule, importVersion, type Module } from './modules.ts';
import { isPromptFile, JINJA, promptId, promptText } from './prompt-files.ts';
import { homesOf, isOurs, named, Sources } from './source-files.ts';

export type Kind = Definition['is'];
export const kinds: readonly Kind[] = ['operator', 'reducer', 'template', 'prompt', 'suite', 'data-suite', 'source'];

/** Path -> sha256. */
export type Files = Readonly<Record<string, string>>;
/** Files behind a definition: `ours` belong to backspin, `own` to the experiment's module. */
export interface Behind {
  readonly ours: Files;
  readonly own: Files;
}
export interface Namespace {
  readonly definitions: ReadonlyMap<string, Definition>;
  /** It belongs to an experiment's module. */
  readonly module: boolean;
  /** Files behind the whole namespace. */
  readonly files: Files;
  behind(definition: Definition): Behind;
}

const root = dirname(import.meta.dirname);
/** Backspin's own namespaces: their entry files, and a function that imports each. */
const builtIn: Readonly<Record<string, readonly (readonly [entry: string, load: () => Promise<object>])[]>> = Object.fromEntries(
  Object.entries(operators).map(([name, load]) => [
    name,
    [
      [join(root, 'operators', name, `index${SOURCE}`), load],
      ...(name === 'std' ? [[join(root, 'sources', `index${SOURCE}`), () => import('../sources/index.ts')] as const] : []),
    ],
  ]),
);

/** Namespaces by name. Throws `ConfigError` for a module that has changed since its digest was taken, cannot be loaded, or has no unique
 *  name. */
export async function loadNamespaces(modules: readonly Module[], store?: Pick<Store, 'prompt'>): Promise<ReadonlyMap<string, Namespace>> {
  const namespaces = new Map<string, Namespace>();
  const sources = new Sources();
  for (const [name, parts] of Object.entries(builtIn)) {
    const exported = await Promise.all(parts.map(([, load]) => load()));
    const loadFile = (path: string) => import(pathToFileURL(path).href) as Promise<object>;
    const entries = parts.map(([entry]) => entry);
    namespaces.set(name, await namespaceOf(Object.assign({}, ...exported) as object, false, entries, sources, loadFile));
  }
  for (const module of modules.filter((one) => !isPromptFile(one))) {
    const exported = await importModule(module);
    const name = nameOf(module, exported, namespaces);
    namespaces.set(name, await namespaceOf(exported, true, [resolve(module.path)], sources, (path) => importVersion(path, module.digest)));
  }
  const files = modules.filter(isPromptFile);
  if (files.length > 0) namespaces.set(JINJA, await promptNamespace(files, store));
  return namespaces;
}

/** The prompts in Jinja files. Their names say their contents, so no file behind them is part of a key. */
async function promptNamespace(files: readonly Module[], store: Pick<Store, 'prompt'> | undefined): Promise<Namespace> {
  const { jinjaPrompt } = await import('./jinja-prompt.ts');
  const prompts = files.map(
    async (file) => [promptId(file.digest).slice(JINJA.length + 1), jinjaPrompt(await promptText(file, store))] as const,
  );
  return { definitions: new Map(await Promise.all(prompts)), module: true, files: {}, behind: () => ({ ours: {}, own: {} }) };
}

function nameOf({ path }: Module, exported: object, taken: ReadonlyMap<string, Namespace>): string {
  const name = 'namespace' in exported ? exported.namespace : undefined;
  if (typeof name !== 'string' || !/^[a-z][a-z0-9-]*$/.test(name))
    throw new BackspinError(
      'ConfigError',
      `The module ${path} does not say its namespace: add \`export const namespace = 'name'\` with lower-case letters, digits and hyphens.`,
    );
  if (taken.has(name) || name === JINJA)
    throw new BackspinError(
      'ConfigError',
      `The module ${path} calls its namespace "${name}", and so does ${name in builtIn || name === JINJA ? 'backspin' : 'another module'}: give it another name.`,
    );
  return name;
}

const isDefinition = (x: unknown): x is Definition =>
  typeof x === 'object' && x !== null && 'is' in x && (kinds as readonly unknown[]).includes(x.is);
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
  return { definitions, module, files: filesOf(entries), behind: (definition) => behind.get(definition)! };
}
