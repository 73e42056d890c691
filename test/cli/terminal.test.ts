import test from 'ava';
import { join } from 'node:path';
import { truncate, escapeControls, widthOf } from '../../cli/terminal/terminal.ts';
import { table } from '../../cli/terminal/text.ts';
import { sha256 } from '../../schemas/canonical.ts';
import { openStore } from '../../store/local.ts';
import { experiment, output, put, record } from '../support/store.ts';
import { backspin, temporary } from './cli.ts';

/** A title, a clipboard, a link, a clearing of the screen by one byte, a carriage return, another direction of writing. */
const hostile = '\x1b]0;owned\x07 \x1b]52;c;cm0=\x07 \x1b]8;;http://x\x1b\\link \x9b2J \r\u202egnp.exe';
const commands = /(?![\n\t])\p{Cc}|[\u202a-\u202e]/u;
const visible = String.raw`\x1b]0;owned\x07 \x1b]52;c;cm0=\x07 \x1b]8;;http://x\x1b\link \x9b2J \x0d\u202egnp.exe`;

test('what a terminal would obey is shown, and all other text is as it was', (t) => {
  t.is(escapeControls(hostile), visible);
  const harmless = 'Zwei\nZeilen\tund 中文, עברית, क्षि, 👩‍👩‍👧, é';
  t.is(escapeControls(harmless), harmless);
});

test('show, list, status and errors give no command of data or models to the terminal', async (t) => {
  const home = temporary();
  const store = await openStore(join(home, 'store'));
  const data = await put(store, [record({ text: hostile, [`key ${hostile}`]: 'a', several: `one\n${hostile}` })]);
  const droppedRecords = await put(store, [record({ id: 'x', reason: 'odd', evidence: hostile, value: { text: hostile } })]);
  await store.putOutput(output('segments', data, { in: 2, kept: 1, dropped: { odd: 1 }, droppedRecords }));
  const step = { arm: null, round: null, kind: 'map', operation: 'toy.ask', cached: false, state: 'completed' } as const;
  const steps = [{ ...step, path: 'segments', name: 'segments', stepKey: sha256('segments'), result: data }];
  await store.putExperiment(experiment('toy', { state: 'failed', failure: hostile, steps, recipe: hostile }));
  for (const args of [
    ['show', 'toy', 'segments'],
    ['show', 'toy', 'segments', '--dropped', 'odd'],
    ['status', 'toy'],
    ['list'],
    ['show', 'toy', `segments${hostile}`],
  ]) {
    const { stdout, stderr } = await backspin(home, args);
    t.notRegex(stdout + stderr, commands);
    t.true((stdout + stderr).includes(visible), args.join(' '));
  }
  for (const args of [
    ['show', 'toy', 'segments', '--json'],
    ['status', 'toy', '--json'],
  ]) {
    const { stdout } = await backspin(home, args);
    t.notRegex(stdout, commands);
    t.true(JSON.stringify(JSON.parse(stdout)).includes(JSON.stringify(hostile).slice(1, -1)), 'the document says what was there');
  }
});

test('columns are those of the terminal, whatever is written in them', (t) => {
  const rows = ['plain', '中文字', '👩‍👩‍👧 三', 'é́'].map((name) => [name, 1]);
  const lines = table(['name', 'n'], rows).split('\n');
  t.deepEqual([...new Set(lines.map(widthOf))], [9]);
  for (const line of ['中文字中文字中文字', '👩‍👩‍👧👩‍👩‍👧👩‍👩‍👧👩‍👩‍👧👩‍👩‍👧', 'abcdefghijkl']) {
    const short = truncate(line, 10);
    t.true(widthOf(short) < 10 && widthOf(short) > 6, short);
    t.true(short.endsWith('…'));
  }
  t.is(truncate('中文', 10), '中文');
});

test('`show` of a judge check draws the scores of real and of shuffled pairs, from the lowest to the highest', async (t) => {
  const home = temporary();
  const store = await openStore(join(home, 'store'));
  const metrics = { auc: 0.75, minAuc: 0.7, low: 1, high: 5, real1: 0, real10: 0.5, shuffled1: 1, shuffled10: 0 };
  const report = { kind: 'report', digest: sha256('report'), metrics, oracle: false } as const;
  await store.putOutput({ ...output('judge-check', report), verb: 'reduce', operation: 'std.separation' });
  const step = { arm: null, round: null, kind: 'reduce', operation: 'std.separation', cached: false, state: 'completed' } as const;
  const steps = [{ ...step, path: 'judge-check', name: 'judge-check', stepKey: sha256('judge-check'), result: report }];
  await store.putExperiment(experiment('toy', { steps }));
  const { stdout } = await backspin(home, ['show', 'toy', 'judge-check']);
  const bars = [...stdout.matchAll(/^(\d\.\d\d) +(█*) ?(\d+) % +(█*) ?(\d+) %$/gm)].map(([, from, real, of, shuffled, ofOthers]) => [
    from,
    real!.length,
    of,
    shuffled!.length,
    ofOthers,
  ]);
  t.is(bars.length, 10);
  t.deepEqual(
    [bars[0], bars[9]],
    [
      ['1.00', 0, '0', 20, '100'],
      ['4.60', 10, '50', 0, '0'],
    ],
  );
  t.regex(stdout, /auc: 0\.75/);
});
