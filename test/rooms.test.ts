/** Rooms import downwards only, and no files import each other in a circle: read from the imports of every file, those of types too. */
import test from 'ava';
import { globSync, readFileSync } from 'node:fs';
import { dirname, join, normalize, resolve } from 'node:path';

/** From the lowest. A room imports itself and what lies below. */
const LEVELS = [
  ['schemas'],
  ['recipe'],
  ['operators', 'sources', 'inference', 'store', 'devices'],
  ['steps'],
  ['workflows', 'activities', 'plan'],
  ['host', 'experiments'],
  ['pages'],
  ['cli', 'workers'],
] as const;
/** Folders of programs that are no part of the product: it imports nothing of them. */
const OUTSIDE = ['bench', 'examples', 'setup', 'test'];

/** Arrows within a level: importer, imported (a file, or a folder with all that is in it), and why. */
const EXCEPTIONS: readonly (readonly [from: string, to: string, why: string])[] = [
  ['experiments/', 'host/', 'how an open experiment stands is asked over the connection of the home'],
  ['plan/planner.ts', 'workflows/recipes/index.ts', 'planning runs the recipe itself'],
  ['devices/slot-files.ts', 'store/files.ts', 'a slot file is whole or not there, as those of the store are'],
  ['sources/segments.ts', 'operators/lengths.ts', 'texts that are read in are as long as operators count them'],
  ['sources/segments.ts', 'operators/std/shingles.ts', 'sentences are alike as they are for `dedup`'],
];

/** What some rooms import of packages. */
const PACKAGES: readonly (readonly [room: string, forbidden: RegExp, why: string])[] = [
  ['operators/', /^node:(fs|module|child_process|net|http|https|worker_threads)\b/, 'operators are pure'],
  ['workflows/', /^(zod|axios|node:.*)$/, 'workflows are deterministic, and their bundle is small'],
  ['workflows/recipes/', /^@temporalio\//, 'a recipe is a function of a `Run`'],
];
/** Rooms of which the bundle of workflows takes in code. Of others they import types. */
const BUNDLED = ['workflows', 'recipe', 'schemas'];

interface Import {
  readonly from: string;
  readonly types: boolean;
}

const IMPORT =
  /(?:^|\n)[ \t]*(?:import|export)\s+(type\s)?([^;'"`]*?)\bfrom\s*['"]([^'"\n]+)['"]|(?:^|\n)[ \t]*import\s*['"]([^'"\n]+)['"]|(\btypeof\s+)?\bimport\(\s*['"]([^'"\n]+)['"]/g;

/** Of a file as it stands in its folder: paths from the root, and names of packages. */
function importsOf(file: string, text: string): Import[] {
  const code = text.replaceAll(/\/\*\*?[\s\S]*?\*\//g, '').replaceAll(/^\s*\/\/.*$/gm, '');
  return [...code.matchAll(IMPORT)].map(([, type, names = '', from, alone, typeOf, called]) => {
    const given = from ?? alone ?? called!;
    const listed = /^\{([^}]*)\}\s*$/
      .exec(names)?.[1]
      ?.split(',')
      .map((name) => name.trim());
    const types = Boolean(type ?? typeOf) || (listed?.every((name) => name === '' || name.startsWith('type ')) ?? false);
    return { from: given.startsWith('.') ? normalize(join(dirname(file), given)) : given, types };
  });
}

const roomOf = (path: string): string => path.split('/')[0]!;
const levelOf = (path: string): number => LEVELS.findIndex((rooms) => (rooms as readonly string[]).includes(roomOf(path)));
const isIn = (path: string, place: string): boolean => (place.endsWith('/') ? path.startsWith(place) : path === place);

/** A sentence for each rule that a file breaks. `files`: path from the root -> text. */
function faultsOf(files: ReadonlyMap<string, string>, exceptions = EXCEPTIONS): string[] {
  const faults: string[] = [];
  const used = new Set<(typeof exceptions)[number]>();
  const graph = new Map<string, readonly string[]>();
  for (const [file, text] of files) {
    if (levelOf(file) < 0) {
      faults.push(`${file} is in no room: give ${roomOf(file)}/ a level.`);
      continue;
    }
    const imports = importsOf(file, text);
    graph.set(
      file,
      [...new Set(imports.map(({ from }) => from))].filter((from) => files.has(from)),
    );
    for (const { from, types } of imports) {
      for (const [place, forbidden, why] of PACKAGES)
        if (isIn(file, place) && forbidden.test(from) && !types) faults.push(`${file} imports ${from}: ${why}.`);
      if (OUTSIDE.includes(roomOf(from)) && from.includes('/')) faults.push(`${file} imports ${from}, which is no part of the product.`);
      if (levelOf(from) < 0 || roomOf(from) === roomOf(file)) continue;
      const exception = exceptions.find(([importer, imported]) => isIn(file, importer) && isIn(from, imported));
      if (exception) used.add(exception);
      else if (levelOf(from) >= levelOf(file))
        faults.push(
          `${file} imports ${from}: ${roomOf(from)}/ lies ${levelOf(from) > levelOf(file) ? 'above' : 'beside'} ${roomOf(file)}/, and imports go down.`,
        );
      if (roomOf(file) === 'workflows' && !types && !BUNDLED.includes(roomOf(from)))
        faults.push(`${file} imports code of ${from}: workflows import code of ${BUNDLED.join(', ')}, and types of others.`);
    }
  }
  for (const circle of circlesIn(graph)) faults.push(`${circle.join(' imports ')}: a circle.`);
  for (const exception of exceptions)
    if (!used.has(exception)) faults.push(`No file needs the exception ${exception[0]} -> ${exception[1]} any more: take it out.`);
  return faults;
}

/** At least one of each set of files that import each other; its first file is its last. */
function circlesIn(graph: ReadonlyMap<string, readonly string[]>): string[][] {
  const circles: string[][] = [];
  const done = new Set<string>();
  const visit = (file: string, way: readonly string[]) => {
    if (way.includes(file)) circles.push([...way.slice(way.indexOf(file)), file]);
    if (way.includes(file) || done.has(file)) return;
    for (const next of graph.get(file) ?? []) visit(next, [...way, file]);
    done.add(file);
  };
  for (const file of graph.keys()) visit(file, []);
  return circles;
}

const root = resolve(import.meta.dirname, '..');

test('no file of the product imports what its room may not, and none import each other in a circle', (t) => {
  const paths = globSync('*/**/*.{ts,js}', { cwd: root, exclude: ['node_modules', '.*', ...OUTSIDE, 'trainer', 'docs'] });
  const files = new Map(paths.map((path) => [path, readFileSync(join(root, path), 'utf8')]));
  t.true(
    LEVELS.flat().every((room) => paths.some((path) => roomOf(path) === room)),
    'the rooms are read',
  );
  t.deepEqual(faultsOf(files), []);
});

const planted = (files: Readonly<Record<string, string>>): string[] => faultsOf(new Map(Object.entries(files)), []);

for (const [kind, text] of [
  ['an import', `import { a } from '../steps/b.ts';`],
  ['an import of several lines', `import {\n  a,\n  type B,\n} from '../steps/b.ts';`],
  ['an import of types', `import type { A } from '../steps/b.ts';`],
  ['an import without names', `import '../steps/b.ts';`],
  ['an import of everything', `import * as b from '../steps/b.ts';`],
  ['an export', `export { a } from '../steps/b.ts';`],
  ['an export of everything', `export * from '../steps/b.ts';`],
  ['an import when it is wanted', `const b = await import('../steps/b.ts');`],
  ['the type of a module', `type B = typeof import('../steps/b.ts');`],
] as const)
  test(`an arrow upwards is told: ${kind}`, (t) => {
    t.deepEqual(planted({ 'store/a.ts': text, 'steps/b.ts': '' }), [
      'store/a.ts imports steps/b.ts: steps/ lies above store/, and imports go down.',
    ]);
  });

test('an arrow within a level is told, unless it is an exception; one that nobody needs is told too', (t) => {
  const files = new Map([
    ['plan/a.ts', `import { b } from '../workflows/b.ts';`],
    ['workflows/b.ts', ''],
  ]);
  t.deepEqual(faultsOf(files, []), ['plan/a.ts imports workflows/b.ts: workflows/ lies beside plan/, and imports go down.']);
  t.deepEqual(faultsOf(files, [['plan/', 'workflows/b.ts', '']]), []);
  t.deepEqual(faultsOf(new Map(), [['plan/', 'workflows/', '']]), [
    'No file needs the exception plan/ -> workflows/ any more: take it out.',
  ]);
});

test('a circle of files is told, in one room too, and of types alone too', (t) => {
  t.deepEqual(planted({ 'recipe/a.ts': `import type { B } from './b.ts';`, 'recipe/b.ts': `import type { A } from './a.ts';` }), [
    'recipe/a.ts imports recipe/b.ts imports recipe/a.ts: a circle.',
  ]);
});

test('what a room may not have is told: files in operators, zod and Temporal in workflows, and code that would come into their bundle', (t) => {
  t.deepEqual(planted({ 'operators/a/b.ts': `import { readFile } from 'node:fs/promises';` }), [
    'operators/a/b.ts imports node:fs/promises: operators are pure.',
  ]);
  t.deepEqual(planted({ 'workflows/a.ts': `import { z } from 'zod';` }), [
    'workflows/a.ts imports zod: workflows are deterministic, and their bundle is small.',
  ]);
  t.deepEqual(planted({ 'workflows/recipes/a.ts': `import { sleep } from '@temporalio/workflow';` }), [
    'workflows/recipes/a.ts imports @temporalio/workflow: a recipe is a function of a `Run`.',
  ]);
  t.deepEqual(planted({ 'workflows/a.ts': `import { b } from '../operators/b.ts';`, 'operators/b.ts': '' }), [
    'workflows/a.ts imports code of operators/b.ts: workflows import code of workflows, recipe, schemas, and types of others.',
  ]);
  t.deepEqual(planted({ 'workflows/a.ts': `type B = typeof import('../operators/b.ts');`, 'operators/b.ts': '' }), []);
});

test('a folder without a level, and an import of what is no part of the product, are told', (t) => {
  t.deepEqual(planted({ 'util/a.ts': '' }), ['util/a.ts is in no room: give util/ a level.']);
  t.deepEqual(planted({ 'cli/a.ts': `import { b } from '../test/support/b.ts';` }), [
    'cli/a.ts imports test/support/b.ts, which is no part of the product.',
  ]);
});

test('what a comment names is no import', (t) => {
  t.deepEqual(planted({ 'store/a.ts': `/** As in \`import('../steps/b.ts')\`. */\n// import '../steps/b.ts';\n`, 'steps/b.ts': '' }), []);
});
