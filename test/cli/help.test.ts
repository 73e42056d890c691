import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import test from 'ava';
import { backspin, root, temporary, verbs } from './cli.ts';

test('every verb is listed, and explains itself', async (t) => {
  const home = temporary();
  const { stdout } = await backspin(home, ['--help']);
  for (const verb of verbs) {
    t.regex(stdout, new RegExp(`^  ${verb} `, 'm'));
    const help = await backspin(home, [verb, '--help']);
    t.is(help.code, 0);
    t.regex(help.stdout, new RegExp(`^Usage: backspin ${verb}`));
  }
});

test('a command line that is wrong says so and exits with 64', async (t) => {
  const home = temporary();
  for (const [args, says] of [
    [['lanch'], /unknown command 'lanch'[^]*launch/],
    [['launch'], /missing required argument 'file'/],
    [['list', '--jsn'], /unknown option '--jsn'/],
    [['up', '--port', 'x'], /a whole number/],
  ] as const) {
    const { code, stderr } = await backspin(home, args);
    t.is(code, 64);
    t.regex(stderr, says);
  }
});

test('help loads nothing heavy: the command itself, and of all packages the parser of command lines', async (t) => {
  const coverage = temporary(); // V8 lists in it what a process has loaded
  await backspin(temporary(), ['launch', '--help'], { NODE_V8_COVERAGE: coverage });
  const loaded = readdirSync(coverage).flatMap((name) => {
    const { result } = JSON.parse(readFileSync(join(coverage, name), 'utf8')) as { result: { url: string }[] };
    return result.map(({ url }) => url);
  });
  const own = loaded.filter((url) => url.startsWith('file:') && !url.includes('/node_modules/commander/'));
  t.deepEqual(
    own.toSorted(),
    ['backspin.js', 'backspin.ts', 'options.ts'].map((name) => pathToFileURL(join(root, 'cli', name)).href),
  );
});

test('the commented file of a recipe names itself and the schema beside it, and never replaces another', async (t) => {
  const home = temporary();
  const made = await backspin(home, ['init', 'humpback', 'mine.yaml']);
  t.is(made.code, 0, made.stderr);
  const text = readFileSync(join(home, 'mine.yaml'), 'utf8');
  t.regex(text, /^# yaml-language-server: \$schema=backspin\.schema\.json\n[^]*npx backspin plan mine\.yaml/);
  t.true('allOf' in (JSON.parse(readFileSync(join(home, 'backspin.schema.json'), 'utf8')) as object));
  const again = await backspin(home, ['init', 'humpback', 'mine.yaml']);
  t.is(again.code, 1);
  t.regex(again.stderr, /mine\.yaml cannot be used: there is a file of that name/);
  t.is(readFileSync(join(home, 'mine.yaml'), 'utf8'), text);

  const unknown = await backspin(home, ['init', 'humpbck']);
  t.is(unknown.code, 1);
  t.regex(unknown.stderr, /There is no experiment file of a recipe "humpbck"; the nearest is "humpback"\./);
});

test('the schema of experiment files is JSON Schema that knows the parameters of each recipe', async (t) => {
  const { stdout } = await backspin(temporary(), ['schema']);
  const schema = JSON.parse(stdout) as {
    properties: object;
    allOf: { if: object; then: { properties: { parameters: { properties: { sft: { properties: object } } } } } }[];
  };
  t.true('recipe' in schema.properties);
  const humpback = schema.allOf.find((one) => JSON.stringify(one.if).includes('humpback'));
  const { properties } = humpback!.then.properties.parameters;
  t.true('rounds' in properties);
  t.true('learning_rate' in properties.sft.properties);
});
