/** The demo in this checkout's own home, as `npm run demo` runs it: what it must show. What it did before is not done again. */
import test from 'ava';
import { spawn } from 'node:child_process';
import { resolve } from 'node:path';
import { text } from 'node:stream/consumers';
import { currentUp } from '../../host/home.ts';
import type { Measured, View } from '../../experiments/view.ts';

const root = resolve(import.meta.dirname, '../..');
const FILE = 'examples/textworld/humpback.yaml';

async function backspin(...args: string[]): Promise<string> {
  const child = spawn(process.execPath, ['cli/backspin.js', ...args], { cwd: root, stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = new Promise<number | null>((done) => child.once('close', done));
  const said = await text(child.stdout);
  const code = await ended;
  if (code !== 0) throw new Error(`backspin ${args.join(' ')}: exit code ${code}\n${said}`);
  return said;
}
const status = async () => JSON.parse(await backspin('status', 'textworld-humpback', '--json')) as View;
const at = ({ metrics }: View, round: number, arm: string | null = null): Measured =>
  metrics.find((one) => one.round === round && one.arm === arm)!;

/** Whoever has it up keeps it up. */
const wasUp = currentUp() !== undefined;
test.after.always(async () => {
  if (!wasUp) await backspin('down');
});

test.serial('the demo learns: curated beats M_0 and as many random pairs, keeps no adverts, and loses nothing in round 2', async (t) => {
  t.timeout(20 * 60_000); // beside other tests
  await backspin('launch', FILE, '--watch');
  const view = await status();
  const number = (of: Measured, name: string) => of[name] as number;
  const [start, first, end, random] = [at(view, 0), at(view, 1), at(view, 2), at(view, 2, 'random')];
  t.true(number(end, 'forwardExact') >= number(start, 'forwardExact') + 0.12, JSON.stringify(view.metrics));
  t.true(number(end, 'forwardExact') >= number(random, 'forwardExact') + 0.04, JSON.stringify(view.metrics));
  t.true(number(end, 'forwardExact') >= number(first, 'forwardExact') - 0.045, 'the noise of 216 test items');
  t.true(number(first, 'keptAdvertShare') <= 0.05 && number(end, 'keptAdvertShare') <= 0.05);
  t.true(number(start, 'keptAdvertShare') > 0.5, 'the pool is full of them');
  t.true(number(end, 'keptPrecision') >= number(start, 'keptPrecision') + 0.2);
});

test.serial('a second demo makes no model call and no training step', async (t) => {
  const before = await status();
  await backspin('launch', FILE, '--watch');
  t.deepEqual((await status()).steps, before.steps);
});
