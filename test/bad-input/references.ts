/** Names in an experiment file that stand for something else: prompts, templates, suites, sources, and the modules that bring them. */
import { join } from 'node:path';
import { loadRegistry } from '../../steps/registry.ts';
import { temporary } from '../cli/cli.ts';
import { inside, keeping, put, type Case } from './case.ts';
import { changed, plan, sound } from './experiment.ts';

/** The sound experiment with a module of its own. */
const withModule = (what: string, text: string, says: RegExp): Case =>
  plan(what, `${sound}modules: [./mine.ts]\n`, says, { more: { 'mine.ts': text } });

/** Likewise, with the module's source `numbers` as its corpus. */
const withSource = (what: string, rows: string, says: RegExp): Case =>
  plan(what, `${changed(/corpus: .*/, 'corpus: { source: mine.numbers }')}modules: [./mine.ts]\n`, says, {
    more: {
      'mine.ts': `import { source } from 'backspin';
import { z } from 'zod';
export const namespace = 'mine';
export const numbers = source({ version: 1, output: z.object({ text: z.string() }), *rows(): Generator<any> { ${rows} } });
`,
    },
  });

export const references: readonly Case[] = [
  plan(
    'a prompt is misspelt',
    changed('rounds: 2', 'prompts: { judge: humpback.curasion }'),
    /parameters\.prompts\.judge: There is no prompt "humpback\.curasion"; the nearest is humpback\.curation/,
  ),
  plan(
    'a template is misspelt',
    changed('rounds: 2', 'templates: { toResponse: humpback.toRespons }'),
    /There is no template "humpback\.toRespons"; the nearest is humpback\.toResponse/,
  ),
  plan(
    'a template stands where a prompt should',
    changed('rounds: 2', 'prompts: { judge: humpback.toResponse }'),
    /humpback\.toResponse is of the kind template, and not prompt; the nearest is humpback\.response/,
  ),
  plan(
    'a suite is of a namespace that nobody has',
    changed('humpback.pairs', 'humpbak.pairs'),
    /There is no suite "humpbak\.pairs"; the nearest is humpback\.pairs; there is no namespace "humpbak", only std, humpback/,
  ),
  plan(
    'a source has no namespace',
    changed('std.table', 'table'),
    /data\.seed\.source: is "table", which does not fit: a registered name such as std\.table/,
  ),
  plan(
    'a module is not there',
    `${sound}modules: [./mine.ts]\n`,
    /experiment\.yaml:13:11 modules\.0: cannot be loaded: The module .*mine\.ts cannot be read \(ENOENT\): check its path/,
  ),
  plan(
    'a module is a folder',
    `${sound}modules: [.]\n`,
    /modules\.0: cannot be loaded: The module .* cannot be read \(EISDIR\): check its path/,
  ),
  withModule(
    'a module throws',
    "\nthrow new Error('no such table');",
    /mine\.ts cannot be loaded \(no such table, at .*mine\.ts:2\): mend it and launch again/,
  ),
  withModule('a module throws a text', "throw 'no such table';", /mine\.ts cannot be loaded \(no such table\): mend it/),
  withModule(
    'a module is no TypeScript',
    "export const namespace = 'mine';\nexport const x = {;\n",
    /mine\.ts cannot be loaded \(Unexpected token .*, at .*mine\.ts:2\): mend it/,
  ),
  withModule(
    'a module exports a name twice',
    "export const namespace = 'mine';\nexport const a = 1;\nexport const a = 2;\n",
    /mine\.ts cannot be loaded \(Identifier 'a' has already been declared\): mend it/,
  ),
  withModule(
    'a module wants a package that is not installed',
    "import 'left-pad';\n",
    /mine\.ts cannot be loaded \(Cannot find package 'left-pad' imported from .*mine\.ts\): mend it/,
  ),
  withModule(
    'a module wants what backspin does not give',
    "import { table } from 'backspin';\nexport const x = table;\n",
    /mine\.ts cannot be loaded \(.*'backspin' does not provide an export named 'table'.*\): mend it/,
  ),
  withModule(
    'a module does not say its namespace',
    'export const a = 1;\n',
    /mine\.ts does not say its namespace: add `export const namespace = 'name'`/,
  ),
  withModule(
    "a module takes backspin's own namespace",
    "export const namespace = 'std';\n",
    /mine\.ts calls its namespace "std", and so does backspin: give it another name/,
  ),
  plan(
    'two modules have one namespace',
    `${sound}modules: [./mine.ts, ./yours.ts]\n`,
    /yours\.ts calls its namespace "mine", and so does another module: give it another name/,
    {
      more: { 'mine.ts': "export const namespace = 'mine';\n", 'yours.ts': "export const namespace = 'mine';\n" },
    },
  ),
  withSource(
    'a source of a module fails',
    "yield { text: 'one' }; throw new Error('no connection');",
    /The source mine\.numbers failed \(no connection\): mend it/,
  ),
  withSource(
    'a source gives what its own schema refuses',
    'yield { txt: 1 };',
    /Record 1 of mine\.numbers \(data-corpus\) does not fit: text is missing; expected a string/,
  ),
  withSource(
    'a source gives nothing',
    'yield* [];',
    /mine\.numbers \(data-corpus\) gives no record: it holds nothing\. Give it other files or parameters/,
  ),
  inside(
    'a module has changed since the launch',
    'ConfigError',
    /mine\.ts, or a file that it imports, has changed since the experiment was launched: .*put the file back/,
    async () => {
      const folder = put(temporary(), { 'mine.ts': "export const namespace = 'mine';\n" });
      const launched = { path: join(folder, 'mine.ts'), digest: '0'.repeat(64) };
      return keeping(folder, async () => Object.keys(await loadRegistry([launched])).join());
    },
  ),
];
