import { spawnSync } from 'node:child_process';
import test from 'ava';
import { backspin, command, file, temporary, verbs } from './cli.ts';

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

test('help loads nothing heavy: it takes at most four starts of an empty script', (t) => {
  const empty = file(temporary(), 'empty.js', '');
  const quickest = (args: string[]) => Math.min(...Array.from({ length: 15 }, () => time(args)));
  time([command, 'launch', '--help']); // makes the compile cache
  t.true(quickest([command, 'launch', '--help']) <= 4 * quickest([empty]));
});
function time(args: string[]): number {
  const began = performance.now();
  spawnSync(process.execPath, args);
  return performance.now() - began;
}

test('the schema of experiment files is JSON Schema that knows the parameters of each recipe', async (t) => {
  const { stdout } = await backspin(temporary(), ['schema']);
  const schema = JSON.parse(stdout) as {
    properties: object;
    allOf: { if: object; then: { properties: { parameters: { properties: object } } } }[];
  };
  t.true('recipe' in schema.properties);
  const humpback = schema.allOf.find((one) => JSON.stringify(one.if).includes('humpback'));
  t.true('rounds' in humpback!.then.properties.parameters.properties);
});
