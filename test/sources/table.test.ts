import { gzipSync, zstdCompressSync } from 'node:zlib';
import test from 'ava';
import { documents, table } from '../../sources/index.ts';
import { files, lines, rowsOf } from '../support/reduce.ts';

test('jsonl reads the same from plain, .gz and .zst files, in order', async (t) => {
  const values = Array.from({ length: 3000 }, (_, n) => ({ n, text: `line\u2028${n} `.repeat(20) }));
  const text = lines(...values);
  for (const paths of [
    await files({ 'a.jsonl': text }),
    await files({ 'a.jsonl.gz': gzipSync(text) }),
    await files({ 'a.jsonl.zst': zstdCompressSync(text) }),
    await files({ 'a.jsonl': lines(...values.slice(0, 1000)).trimEnd(), 'b.jsonl': `\ufeff${lines(...values.slice(1000))}\n \n` }),
  ]) {
    t.deepEqual((await rowsOf(table, paths)).rows, values);
  }
});

test('jsonl maps fields by dotted paths, with their types', async (t) => {
  const paths = await files({ 'a.jsonl': lines({ prompt: { text: 'q', score: 2 }, answer: 'a', more: [] }) });
  const { rows } = await rowsOf(table, paths, {
    fields: { instruction: 'prompt.text', response: 'answer', score: { path: 'prompt.score', type: 'number' } },
  });
  t.deepEqual(rows, [{ instruction: 'q', response: 'a', score: 2 }]);
});

test('an optional field may be missing or null, and is null then; one of another type is still refused', async (t) => {
  const paths = await files({ 'a.jsonl': lines({ q: 'a', input: 'b' }, { q: 'a', input: null }, { q: 'a' }) });
  const fields = { q: 'q', input: { path: 'input', optional: true } };
  t.deepEqual(
    (await rowsOf(table, paths, { fields })).rows,
    ['b', null, null].map((input) => ({ q: 'a', input })),
  );
  const wrong = await files({ 'a.jsonl': lines({ q: 'a', input: 5 }) });
  await t.throwsAsync(rowsOf(table, wrong, { fields }), { message: /has a "input" that is no string/ });
  await t.throwsAsync(rowsOf(table, paths, { fields: { input: 'input' } }), { message: /a\.jsonl:2 has no "input"/ });
});

test('integers beyond 2^53 stay as they are written, as texts, so that two of them are two', async (t) => {
  const ids = ['1990391500702712081', '1990391500702712082', '-9007199254740993', '9007199254740992', '1990391500702712064'];
  const small = [9007199254740991, -9007199254740991, 0.1, 1e300, 12345678901234.5];
  const written = [...ids, ...small.map(String)].map((id) => `{"id":${id},"deep":[{"id":${id}}],"text":"12345678901234567890 as words"}\n`);
  const { rows } = await rowsOf(table, await files({ 'ids.jsonl': written.join('') }));
  t.deepEqual(
    rows,
    [...ids, ...small].map((id) => ({ id, deep: [{ id }], text: '12345678901234567890 as words' })),
  );
  const paths = await files({ 'ids.jsonl': written[0]! });
  t.deepEqual((await rowsOf(table, paths, { fields: { id: 'id' } })).rows, [{ id: ids[0] }]);
  const number = { fields: { id: { path: 'id', type: 'number' } } };
  await t.throwsAsync(rowsOf(table, paths, number), { message: /ids\.jsonl:1 has a "id" that is no number/ }, 'rather than another number');
});

test('a number or a nesting that nothing can hold is a line that does not fit', async (t) => {
  const good = { text: 'good' };
  const bad = {
    '{"text": "a", "score": 1e999}': /bad\.jsonl:2 has the number 1e999, which is too large/,
    '{"text": "a", "in": [{"score": -1E+0400}]}': /bad\.jsonl:2 has the number -1E\+0400, which is too large/,
    [`{"text": "a", "in": ${'['.repeat(20_000)}${']'.repeat(20_000)}}`]: /bad\.jsonl:2 is nested more than 500 deep/,
    [`{"text": "12345678901234567890", "in": ${'{"a":'.repeat(20_000)}1${'}'.repeat(20_000)}}`]:
      /bad\.jsonl:2 is nested more than 500 deep/,
  };
  for (const [line, message] of Object.entries(bad)) {
    const paths = await files({ 'bad.jsonl': `${lines(good)}${line}\n${lines(good)}` });
    await t.throwsAsync(rowsOf(table, paths), { name: 'SchemaError', message });
    const { rows, dropped } = await rowsOf(table, paths, { onInvalid: 'drop' });
    t.deepEqual([rows, dropped.length], [[good, good], 1]);
    t.regex(dropped[0]!.evidence!, message);
    const documented = await rowsOf(documents, paths, { onInvalid: 'drop', minChars: 1 });
    t.true(documented.dropped.some(({ reason, evidence }) => reason === 'invalid' && message.test(evidence!)));
  }
  const deep = `{"in": ${'['.repeat(400)}1${']'.repeat(400)}}\n`;
  t.is((await rowsOf(table, await files({ 'deep.jsonl': deep }))).rows.length, 1);
});

test('a line that does not fit ends the import with its file and number, or is dropped with them', async (t) => {
  const good = { text: 'good' };
  const bad = {
    '{"text": "cut': /bad\.jsonl:3 is not JSON/,
    '[1]': /bad\.jsonl:3 is not a JSON object/,
    '{"other": 1}': /bad\.jsonl:3 has no "text"/,
    '{"text": 5}': /bad\.jsonl:3 has a "text" that is no string/,
  };
  for (const [line, message] of Object.entries(bad)) {
    const paths = await files({ 'bad.jsonl': `${lines(good)}\n${line}\n${lines(good)}` });
    await t.throwsAsync(rowsOf(table, paths, { fields: { text: 'text' } }), { name: 'SchemaError', message });
    const { rows, dropped } = await rowsOf(table, paths, { fields: { text: 'text' }, onInvalid: 'drop' });
    t.deepEqual([rows, dropped.map(({ reason }) => reason)], [[good, good], ['invalid']]);
    t.regex(dropped[0]!.evidence!, message);
  }
  const latin = await files({ 'latin.jsonl': Buffer.from('{"text": "caf\xe9"}\n', 'latin1') });
  await t.throwsAsync(rowsOf(table, latin), { message: /latin\.jsonl:1 is not UTF-8/ });
});

test('a packed file that is cut short is refused', async (t) => {
  const text = Buffer.from(lines(...Array.from({ length: 5000 }, (_, n) => ({ n: Math.sin(n) }))));
  for (const pack of [gzipSync, zstdCompressSync]) {
    const whole = pack(text);
    const [path] = await files({ [pack === gzipSync ? 'cut.jsonl.gz' : 'cut.jsonl.zst']: whole.subarray(0, whole.length >> 1) });
    await t.throwsAsync(rowsOf(table, [path!]), { name: 'SchemaError', message: /cut\.jsonl/ });
  }
});

test('a line without an instruction or a response is dropped as empty, with its file and number, whatever invalid lines do', async (t) => {
  const empty = lines({ instruction: 'Say nothing.', response: '' }, { instruction: '', response: 'Hello.' });
  const paths = await files({
    'pairs.jsonl': `${empty}${lines({ instruction: 'a', response: ' \u3000\n' }, { instruction: 'Why?', response: 'So.' })}`,
  });
  const { rows, dropped } = await rowsOf(table, paths, { fields: { instruction: 'instruction', response: 'response' } });
  t.deepEqual(rows, [{ instruction: 'Why?', response: 'So.' }]);
  t.deepEqual(
    dropped.map(({ reason, evidence }) => [reason, evidence]),
    [
      ['empty', 'pairs.jsonl:1 has an empty "response"'],
      ['empty', 'pairs.jsonl:2 has an empty "instruction"'],
      ['empty', 'pairs.jsonl:3 has an empty "response"'],
    ],
  );
  const optional = { q: 'instruction', a: { path: 'response', optional: true } };
  t.is((await rowsOf(table, await files({ 'a.jsonl': lines({ instruction: 'a', response: '' }) }), { fields: optional })).rows.length, 1);
});
