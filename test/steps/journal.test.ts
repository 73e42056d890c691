import { execFileSync } from 'node:child_process';
import { appendFileSync, closeSync, mkdtempSync, openSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import test from 'ava';
import { Journal } from '../../steps/journal.ts';

test('a journal that cannot be written any more keeps every record that it took, and nothing follows a torn line', async (t) => {
  const path = join(mkdtempSync(join(tmpdir(), 'backspin-')), 'journal.jsonl');
  const child = resolve(import.meta.dirname, '../support/journal-child.ts');
  // A limit on the size of a file ends a write in its midst, as a full disk does, and needs no disk of our own.
  const limited = `trap '' XFSZ; ulimit -f 1; exec "$@"`;
  const said = execFileSync('bash', ['-c', limited, 'bash', process.execPath, child, path], { encoding: 'utf8' });
  const { taken, more } = JSON.parse(said) as { taken: number; more: boolean };
  t.true(taken > 0);
  t.false(more);
  t.not(readFileSync(path).at(-1), 0x0a, 'the last line is torn');
  const journal = await Journal.open(path);
  for (let n = 0; n < taken; n++) t.truthy(journal.done(`record-${n}`));
  t.is(journal.done(`record-${taken}`), undefined);
  await journal.close();
});

test('a line that a kill has torn is cut off, and what comes after it is read again', async (t) => {
  const path = join(mkdtempSync(join(tmpdir(), 'backspin-')), 'journal.jsonl');
  const done = { kept: [], dropped: [] };
  const first = await Journal.open(path);
  await first.finish('one', done, 0);
  await first.close();
  appendFileSync(path, '{"r":"two","done":{"kep');
  const second = await Journal.open(path);
  await second.finish('three', done, 0);
  await second.close();
  const third = await Journal.open(path);
  t.deepEqual(
    ['one', 'two', 'three'].map((record) => third.done(record) !== undefined),
    [true, false, true],
  );
  await third.close();
});

test('what is given back is in the file: a kill loses no reply that an operator has seen, nor what came in one turn with it', async (t) => {
  const path = join(mkdtempSync(join(tmpdir(), 'backspin-')), 'journal.jsonl');
  const journal = await Journal.open(path);
  const inFile = () => readFileSync(path, 'utf8').split('\n').length - 1;
  const ask = async (n: number) => {
    await journal.call({ r: `0/${n}`, n: 'how?/0' }, () => Promise.resolve({ reply: n, tokens: 1 }));
    return inFile();
  };
  t.deepEqual(await Promise.all([ask(0), ask(1), ask(2)]), [3, 3, 3]);
  await journal.finish('0', { kept: [], dropped: [] }, 0);
  t.is(inFile(), 4);
  await journal.close();
});

test('a reply is given to the question that it answered, asked as often before, and to no other', async (t) => {
  const path = join(mkdtempSync(join(tmpdir(), 'backspin-')), 'journal.jsonl');
  const ask = (journal: Journal, question: string, n: number, reply: string) =>
    journal.call({ r: '0/record', n: `${question}/${n}` }, () => Promise.resolve({ reply, tokens: 1 }));
  const first = await Journal.open(path);
  await ask(first, 'how?', 0, 'so');
  await first.close();
  const second = await Journal.open(path);
  t.deepEqual(
    [await ask(second, 'why?', 0, 'because'), await ask(second, 'how?', 1, 'thus'), await ask(second, 'how?', 0, '')],
    ['because', 'thus', 'so'],
  );
  t.is(second.requests, 3);
  await second.close();
});

test('a reply that comes after its journal was closed is written nowhere', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'backspin-'));
  const journal = await Journal.open(join(folder, 'journal.jsonl'));
  const reply = Promise.withResolvers<{ reply: string; tokens: number }>();
  const call = journal.call({ r: 'record', n: 'why?/0' }, () => reply.promise);
  await journal.close();
  const others = ['a', 'b', 'c'].map((name) => openSync(join(folder, name), 'a')); // one of them has the number that the journal had
  reply.resolve({ reply: 'late', tokens: 1 });
  await t.throwsAsync(call, { message: /closed/ });
  for (const other of others) closeSync(other);
  t.deepEqual(
    ['journal.jsonl', 'a', 'b', 'c'].map((name) => readFileSync(join(folder, name), 'utf8')),
    ['', '', '', ''],
  );
});
