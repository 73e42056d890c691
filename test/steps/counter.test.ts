import { appendFileSync, mkdirSync, mkdtempSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { LimitWatcher } from '../../steps/limit-watcher.ts';
import { JournalCounter } from '../../steps/counter.ts';

const folder = () => mkdtempSync(join(tmpdir(), 'backspin-'));
const call = (r: string, tokens: number, reply: unknown = 'no "tokens":9} here') => `${JSON.stringify({ r, n: 'q/0', reply, tokens })}\n`;
const done = (r: string, attempts?: number) =>
  `${JSON.stringify({ r, attempts, done: { kept: [[{ id: r, from: [r], value: 'a "done":{ is' }]], dropped: [] } })}\n`;
const result = (records: number, tokens: number, spent: string | null = null) =>
  JSON.stringify({
    over: 'a'.repeat(64),
    skip: 0,
    from: 0,
    totals: { batch: 0, in: records, kept: 1, requests: 1, tokens, spans: [{ began: 1, ended: 2 }], spent },
    done: [{ id: 'a', kept: [['x'.repeat(10_000)]], dropped: [] }],
  });

test('a batch that has ended is counted by its totals, whatever becomes of its journal, and one under way by its lines', async (t) => {
  const batches = folder();
  mkdirSync(join(batches, '00000.jsonl')); // whoever opens it fails
  writeFileSync(join(batches, '00000.json'), result(256, 1000));
  writeFileSync(join(batches, '00001.jsonl'), `${call('0/a', 3)}${done('a')}${call('0/b', 4)}${done('b').slice(0, 9)}`);
  writeFileSync(join(batches, '00001.jsonl.spans'), '[]');
  const counter = new JournalCounter(batches);
  t.true(await counter.look());
  t.deepEqual([counter.records, counter.tokens], [257, 1007]);
  appendFileSync(join(batches, '00001.jsonl'), done('b').slice(9));
  await counter.look();
  t.deepEqual([counter.records, counter.tokens], [258, 1007]);
  writeFileSync(join(batches, '00001.json'), result(2, 7));
  await counter.look();
  await counter.look();
  t.deepEqual([counter.records, counter.tokens], [258, 1007], 'what was counted line by line is not counted again');
});

test('a batch that its budget cut short counts on where it goes on under a larger one', async (t) => {
  const batches = folder();
  const journal = join(batches, '00000.jsonl');
  writeFileSync(journal, `${call('0/a', 3)}${done('a')}`);
  writeFileSync(join(batches, '00000.json'), result(1, 3, 'tokens'));
  const counter = new JournalCounter(batches);
  await counter.look();
  appendFileSync(journal, `${call('0/b', 3)}${done('b')}`);
  await counter.look();
  t.deepEqual([counter.records, counter.tokens], [2, 6]);
});

test('attempts of finished records are counted, line by line and by totals, and end a step whose budget of them is spent', async (t) => {
  const batches = folder();
  writeFileSync(join(batches, '00000.json'), result(2, 7).replace('"spans"', '"attempts":5,"spans"'));
  writeFileSync(join(batches, '00000.jsonl'), '');
  writeFileSync(join(batches, '00001.jsonl'), `${done('a'.repeat(64), 20)}${done('b')}${done('c', 3).slice(0, 30)}`);
  const counter = new JournalCounter(batches);
  await counter.look();
  t.deepEqual([counter.records, counter.tokens, counter.attempts], [4, 7, 25]);
  const reached = async (attempts: number) => {
    using bounds = await LimitWatcher.of(
      new Map(),
      { work: batches, batches, shared: undefined },
      { quorum: null, tokens: null, attempts, minutes: null },
    );
    return bounds.reached;
  };
  t.deepEqual([await reached(25), await reached(26)], ['attempts', undefined]);
});

test('nothing is read again of what has not grown', async (t) => {
  const batches = folder();
  const journal = join(batches, '00000.jsonl');
  writeFileSync(journal, `${call('0/a', 3)}${done('a')}`);
  const counter = new JournalCounter(batches);
  await counter.look();
  const { size } = statSync(journal);
  writeFileSync(journal, `${done('x')}${done('y')}`.padEnd(size, ' ').slice(0, size)); // other bytes, no more of them
  await counter.look();
  t.deepEqual([counter.records, counter.tokens], [1, 3]);
});

test('minutes of two leases of a step add up, wherever they run, and those of the batches of one lease do not', async (t) => {
  const work = folder();
  const files = { work, batches: work, shared: undefined };
  const limits = { quorum: null, tokens: null, attempts: null, minutes: 1 };
  const [one, other] = [new Map<string, LimitWatcher>(), new Map<string, LimitWatcher>()];
  const first = await LimitWatcher.of(one, files, limits);
  t.is(await LimitWatcher.of(one, files, limits), first);
  t.not(await LimitWatcher.of(other, files, limits), first);
  first[Symbol.dispose]();
  t.is(one.size, 1);
  first[Symbol.dispose]();
  t.is(one.size, 0);
  other.values().next().value![Symbol.dispose]();
});

test('requests and tokens are counted by role, of batches that have ended and of those under way', async (t) => {
  const batches = folder();
  mkdirSync(join(batches, '00000.jsonl'));
  const uses = { judge: { requests: 2, read: 8, written: 2 }, model: { requests: 1, read: 1, written: 0 } };
  const ended = JSON.parse(result(256, 10)) as { totals: object };
  const { requests, ...totals } = ended.totals as { requests: number };
  const { tokens, spans, spent, ...before } = totals as unknown as Record<string, unknown>;
  writeFileSync(join(batches, '00000.json'), JSON.stringify({ totals: { ...before, requests, uses, tokens, spans, spent } }));
  const line = (role: string, written: number, all: number) =>
    `${JSON.stringify({ r: '0/a', n: 'q/0', reply: 'x', role, written, tokens: all })}\n`;
  writeFileSync(join(batches, '00001.jsonl'), `${line('judge', 3, 10)}${line('model', 0, 5)}${call('0/old', 4)}`);
  const counter = new JournalCounter(batches);
  await counter.look();
  t.is(counter.tokens, 29);
  t.like(counter.uses, { judge: { requests: 3, read: 15, written: 5 }, model: { requests: 2, read: 6, written: 0 } });
});
