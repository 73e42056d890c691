import { gzipSync, zstdCompressSync } from 'node:zlib';
import test from 'ava';
import { documents, jsonl } from '../../operators/std/index.ts';
import { candidatesOf, markdownOf, sectionsOf, type SegmentRules } from '../../operators/std/segments.ts';
import { files, randomOf, rowsOf } from '../support/reduce.ts';

const lines = (...values: unknown[]) => values.map((value) => `${JSON.stringify(value)}\n`).join('');

test('jsonl reads the same from plain, .gz and .zst files, in order', async (t) => {
  const values = Array.from({ length: 3000 }, (_, n) => ({ n, text: `line\u2028${n} `.repeat(20) }));
  const text = lines(...values);
  for (const paths of [
    await files({ 'a.jsonl': text }),
    await files({ 'a.jsonl.gz': gzipSync(text) }),
    await files({ 'a.jsonl.zst': zstdCompressSync(text) }),
    await files({ 'a.jsonl': lines(...values.slice(0, 1000)).trimEnd(), 'b.jsonl': `\ufeff${lines(...values.slice(1000))}\n \n` }),
  ]) {
    t.deepEqual((await rowsOf(jsonl, paths)).rows, values);
  }
});

test('jsonl maps fields by dotted paths, with their types', async (t) => {
  const paths = await files({ 'a.jsonl': lines({ prompt: { text: 'q', score: 2 }, answer: 'a', more: [] }) });
  const { rows } = await rowsOf(jsonl, paths, {
    fields: { instruction: 'prompt.text', response: 'answer', score: { path: 'prompt.score', type: 'number' } },
  });
  t.deepEqual(rows, [{ instruction: 'q', response: 'a', score: 2 }]);
});

test('an optional field may be missing or null, and is null then; one of another type is still refused', async (t) => {
  const paths = await files({ 'a.jsonl': lines({ q: 'a', input: 'b' }, { q: 'a', input: null }, { q: 'a' }) });
  const fields = { q: 'q', input: { path: 'input', optional: true } };
  t.deepEqual(
    (await rowsOf(jsonl, paths, { fields })).rows,
    ['b', null, null].map((input) => ({ q: 'a', input })),
  );
  const wrong = await files({ 'a.jsonl': lines({ q: 'a', input: 5 }) });
  await t.throwsAsync(rowsOf(jsonl, wrong, { fields }), { message: /has a "input" that is no string/ });
  await t.throwsAsync(rowsOf(jsonl, paths, { fields: { input: 'input' } }), { message: /a\.jsonl:2 has no "input"/ });
});

test('integers beyond 2^53 stay as they are written, as texts, so that two of them are two', async (t) => {
  const ids = ['1990391500702712081', '1990391500702712082', '-9007199254740993', '9007199254740992', '1990391500702712064'];
  const small = [9007199254740991, -9007199254740991, 0.1, 1e300, 12345678901234.5];
  const written = [...ids, ...small.map(String)].map((id) => `{"id":${id},"deep":[{"id":${id}}],"text":"12345678901234567890 as words"}\n`);
  const { rows } = await rowsOf(jsonl, await files({ 'ids.jsonl': written.join('') }));
  t.deepEqual(
    rows,
    [...ids, ...small].map((id) => ({ id, deep: [{ id }], text: '12345678901234567890 as words' })),
  );
  const paths = await files({ 'ids.jsonl': written[0]! });
  t.deepEqual((await rowsOf(jsonl, paths, { fields: { id: 'id' } })).rows, [{ id: ids[0] }]);
  const number = { fields: { id: { path: 'id', type: 'number' } } };
  await t.throwsAsync(rowsOf(jsonl, paths, number), { message: /ids\.jsonl:1 has a "id" that is no number/ }, 'rather than another number');
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
    await t.throwsAsync(rowsOf(jsonl, paths), { name: 'SchemaError', message });
    const { rows, dropped } = await rowsOf(jsonl, paths, { onInvalid: 'drop' });
    t.deepEqual([rows, dropped.length], [[good, good], 1]);
    t.regex(dropped[0]!.evidence!, message);
    const documented = await rowsOf(documents, paths, { onInvalid: 'drop', minChars: 1 });
    t.true(documented.dropped.some(({ reason, evidence }) => reason === 'invalid' && message.test(evidence!)));
  }
  const deep = `{"in": ${'['.repeat(400)}1${']'.repeat(400)}}\n`;
  t.is((await rowsOf(jsonl, await files({ 'deep.jsonl': deep }))).rows.length, 1);
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
    await t.throwsAsync(rowsOf(jsonl, paths, { fields: { text: 'text' } }), { name: 'SchemaError', message });
    const { rows, dropped } = await rowsOf(jsonl, paths, { fields: { text: 'text' }, onInvalid: 'drop' });
    t.deepEqual([rows, dropped.map(({ reason }) => reason)], [[good, good], ['invalid']]);
    t.regex(dropped[0]!.evidence!, message);
  }
  const latin = await files({ 'latin.jsonl': Buffer.from('{"text": "caf\xe9"}\n', 'latin1') });
  await t.throwsAsync(rowsOf(jsonl, latin), { message: /latin\.jsonl:1 is not UTF-8/ });
});

test('a packed file that is cut short is refused', async (t) => {
  const text = Buffer.from(lines(...Array.from({ length: 5000 }, (_, n) => ({ n: Math.sin(n) }))));
  for (const pack of [gzipSync, zstdCompressSync]) {
    const whole = pack(text);
    const [path] = await files({ [pack === gzipSync ? 'cut.jsonl.gz' : 'cut.jsonl.zst']: whole.subarray(0, whole.length >> 1) });
    await t.throwsAsync(rowsOf(jsonl, [path!]), { name: 'SchemaError', message: /cut\.jsonl/ });
  }
});

const random = randomOf('sources');
const word = () =>
  Array.from({ length: 3 + Math.floor(random() * 6) }, () => 'abcdefghijklmnopqrstuvwxyz'[Math.floor(random() * 26)]).join('');
const sentence = () =>
  `${Array.from({ length: 8 + Math.floor(random() * 8) }, word)
    .join(' ')
    .replace(/^./, (c) => c.toUpperCase())}.`;
function prose(chars: number): string {
  let text = sentence();
  while (text.length < chars) text += ` ${sentence()}`;
  return `${text.slice(0, chars - 1).trimEnd()}.`.padEnd(chars, '.');
}

test('H8: a segment has 600 to 3,000 characters and a header that is neither empty nor all capitals', async (t) => {
  const headers = ['How rivers form', 'ABOUT RIVERS', 'Newsletter', 'Join our forum today', '', '3 steps to a boat'];
  const document = () =>
    Array.from(
      { length: 12 },
      () =>
        `${'#'.repeat(1 + Math.floor(random() * 3))} ${headers[Math.floor(random() * headers.length)]!}\n\n${prose(100 + Math.floor(random() * 3500))}`,
    ).join('\n\n');
  const paths = await files(Object.fromEntries(Array.from({ length: 20 }, (_, n) => [`d${n}.md`, `${document()}\n`])));
  const { rows, dropped } = await rowsOf(documents, paths);
  t.true(rows.length > 20);
  for (const { text, header } of rows) {
    t.true(text.length >= 600 && text.length <= 3000);
    t.true(['How rivers form', '3 steps to a boat'].includes(header), header);
  }
  t.deepEqual([...new Set(dropped.map(({ reason }) => reason))].sort(), ['capitals', 'navigation', 'no-header', 'too-long', 'too-short']);
});

test('a segment takes the lower headings in; a section that is too long is taken apart, and no text is in two', (t) => {
  const [a, b, c, d] = [prose(700), prose(800), prose(2500), prose(900)];
  const text = `Before.\n\n# Rivers\n\n${a}\n\n## Springs\n\n${b}\n\n# Seas\n\n${d}\n\n## Tides\n\n${c}\n\n\`\`\`\n# no heading\n\`\`\`\n\nLakes\n-----\n\n${b.toLowerCase()}`;
  const found = [...candidatesOf(sectionsOf(text), rules)];
  t.deepEqual(
    found.map(({ header }) => header),
    ['', 'Rivers', 'Seas', 'Tides', 'Lakes'],
  );
  t.is(found[1]!.text, `${a}\n\nSprings\n\n${b}`);
  t.is(found[2]!.text, d);
  t.true(found[3]!.text.includes('# no heading'));
});
const rules: SegmentRules = { minChars: 600, maxChars: 3000, navigation: [], repetition: { ngram: 3, jaccard: 0.6 } };

test('a text that says a sentence again, in nearly the same words, is repetitive', (t) => {
  const said = 'The river begins high in the mountains where the snow melts late in spring.';
  const again = said.replace('late', 'early');
  const faults = (text: string, jaccard: number) =>
    [...candidatesOf(sectionsOf(`# Rivers\n\n${text}`), { ...rules, repetition: { ngram: 3, jaccard } })].map(({ fault }) => fault?.reason);
  t.deepEqual(faults(`${said} ${prose(700)} ${again}`, 0.6), ['repetitive']);
  t.deepEqual(faults(`${said} ${prose(700)} ${again}`, 0.9), [undefined]);
  t.deepEqual(faults(`Yes. ${prose(700)} Yes.`, 0.6), [undefined], 'short sentences may come again');
});

test('documents come from JSONL with a title, and from HTML, and equal texts once', async (t) => {
  const text = prose(800);
  const html = `<html><head><title>x</title></head><body><nav><h2>Menu</h2>${prose(900)}</nav><h1>Rivers &amp; <em>seas</em></h1><p>${text}</p><script>var a = "<h1>no</h1>";</script></body></html>`;
  const [json, page] = await files({ 'a.jsonl': lines({ page: { body: text, name: 'Rivers' } }, { page: {} }), 'p.html': html });
  const { rows, dropped } = await rowsOf(documents, [json!], { text: 'page.body', title: 'page.name', onInvalid: 'drop' });
  t.deepEqual(rows, [{ text, header: 'Rivers', document: 'a.jsonl:1' }]);
  t.deepEqual(dropped, [{ reason: 'invalid', evidence: 'a.jsonl:2 has no text at "page.body"' }]);
  t.deepEqual((await rowsOf(documents, [page!])).rows, [{ text, header: 'Rivers & seas', document: 'p.html' }]);
  const twice = await rowsOf(documents, [page!, page!]);
  t.deepEqual([twice.rows.length, twice.dropped.map(({ reason }) => reason)], [1, ['duplicate']]);
});

test('every candidate is kept or dropped with a reason', async (t) => {
  const text = Array.from({ length: 9 }, (_, n) => `# Part ${n}\n\n${prose(300 * (n + 1))}`).join('\n\n');
  const { rows, dropped } = await rowsOf(documents, await files({ 'a.md': text }));
  t.is(rows.length + dropped.length, 9);
  t.is(markdownOf('<p>a&nbsp;&#x62;&unknown;</p>'), 'a b&unknown;');
});

test('a line without an instruction or a response is dropped as empty, with its file and number, whatever invalid lines do', async (t) => {
  const empty = lines({ instruction: 'Say nothing.', response: '' }, { instruction: '', response: 'Hello.' });
  const paths = await files({
    'pairs.jsonl': `${empty}${lines({ instruction: 'a', response: ' \u3000\n' }, { instruction: 'Why?', response: 'So.' })}`,
  });
  const { rows, dropped } = await rowsOf(jsonl, paths, { fields: { instruction: 'instruction', response: 'response' } });
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
  t.is((await rowsOf(jsonl, await files({ 'a.jsonl': lines({ instruction: 'a', response: '' }) }), { fields: optional })).rows.length, 1);
});

test('a document that gives nothing is dropped as empty by its name', async (t) => {
  const paths = await files({ 'a.jsonl': lines({ text: '' }), 'b.md': ' \n', 'c.html': '<form><input></form>' });
  const { rows, dropped } = await rowsOf(documents, paths);
  t.deepEqual(rows, []);
  t.deepEqual(
    dropped.map(({ reason, evidence }) => [reason, evidence]),
    ['a.jsonl:1', 'b.md', 'c.html'].map((name) => ['empty', `${name}: it holds no text`]),
  );
});
