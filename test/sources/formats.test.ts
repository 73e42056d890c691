/** The file formats of tables, and the formats of public instruction data. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { gzipSync } from 'node:zlib';
import test from 'ava';
import { sourceFiles } from '../../steps/input-files.ts';
import { loadRegistry } from '../../steps/registry.ts';
import { documents, table } from '../../sources/index.ts';
import { files, lines, rowsOf } from '../support/reduce.ts';

const pairs = (...all: readonly (readonly [string, string])[]) => all.map(([instruction, response]) => ({ instruction, response }));
const only = async (contents: Parameters<typeof files>[0], params: object = {}) => rowsOf(table, await files(contents), params);

test('a JSON list has the rows of the same JSON lines', async (t) => {
  const values = [{ id: 1, text: 'é' }, { id: 2 }];
  t.deepEqual((await only({ 'a.json': JSON.stringify(values, null, 2) })).rows, values);
  t.deepEqual((await only({ 'a.json.gz': gzipSync(`\ufeff${JSON.stringify(values)}`) })).rows, values);
  t.deepEqual((await only({ 'a.json': lines(...values) })).rows, values, 'a .json file with an object a line');
  t.deepEqual((await only({ 'a.json': '[{"id": 1990391500702712081}]' })).rows, [{ id: '1990391500702712081' }]);
  await t.throwsAsync(only({ 'a.json': '[{"id": 1}, 2]' }), { message: /a\.json:2 is not a JSON object/ });
  await t.throwsAsync(only({ 'a.json': '[{"id": 1}, ' }), { message: /a\.json is not JSON .*: mend the file/ });
});

test('a JSON object that holds a list has its rows, an object a line is a row, and a table by columns is refused', async (t) => {
  const list = { messages: chat(['user', 'a'], ['assistant', 'b']) };
  const read = async (value: object) => (await only({ 'a.json': JSON.stringify(value) }, {})).rows;
  for (const name of ['data', 'rows']) t.deepEqual(await read({ version: 'v2', [name]: [{ a: 1 }, { a: 2 }] }), [{ a: 1 }, { a: 2 }]);
  t.deepEqual(await read(list), [list]);
  await t.throwsAsync(read({ a: { 0: 'x', 1: 'y' } }), { message: /a\.json has its columns one by one.*orient="records"/ });
});

test('CSV and TSV: quotes, line ends in cells, semicolons, and rows that do not fit', async (t) => {
  const rows = [
    { q: 'Name a "sea", please', a: 'Baltic.\nOr North.' },
    { q: 'Why?', a: '' },
  ];
  t.deepEqual((await only({ 'a.csv': '\ufeffq,a\r\n"Name a ""sea"", please","Baltic.\nOr North."\r\nWhy?,\r\n' })).rows, rows);
  t.deepEqual((await only({ 'a.csv': 'q;a\n"Name a ""sea"", please";"Baltic.\nOr North."\nWhy?;\n' })).rows, rows);
  t.deepEqual((await only({ 'a.tsv.gz': gzipSync('q\ta\n"Name a ""sea"", please"\t"Baltic.\nOr North."\nWhy?\t\n') })).rows, rows);
  await t.throwsAsync(only({ 'a.csv': 'q,a\none\n' }), { message: /a\.csv:2 has 1 cells, and the first row 2/ });
  const { rows: good, dropped } = await only({ 'a.csv': 'q,a\none\nx,y\n' }, { onInvalid: 'drop' });
  t.deepEqual([good, dropped.length], [[{ q: 'x', a: 'y' }], 1]);
  await t.throwsAsync(only({ 'a.csv': 'q,a\n"open,y\n' }), { message: /a\.csv is not CSV \(.*\): mend the file/ });
});

test('CSV: what begins no cell is no quotation mark, and the delimiter is the one that the first line has most of', async (t) => {
  t.deepEqual((await only({ 'a.csv': 'q,a\nA 5" screen,b\n' })).rows, [{ q: 'A 5" screen', a: 'b' }]);
  t.deepEqual((await only({ 'a.tsv': 'q\ta\nShe said "hi"\tyes\n' })).rows, [{ q: 'She said "hi"', a: 'yes' }]);
  t.deepEqual((await only({ 'a.csv': 'q\ta\nx\ty\n' })).rows, [{ q: 'x', a: 'y' }]);
  t.deepEqual((await only({ 'a.csv': '"q, or not";a\nx;y\n' })).rows, [{ 'q, or not': 'x', a: 'y' }]);
});

test('CSV that is no UTF-8, or that names two columns alike, is refused and not read otherwise', async (t) => {
  const latin = `${'q,a\n'.repeat(30_000)}Caf\u00e9,x\n`;
  await t.throwsAsync(only({ 'a.csv': Buffer.from(latin, 'latin1') }), { message: /a\.csv is not UTF-8.*: convert the file \(`iconv/ });
  await t.throwsAsync(only({ 'a.csv': gzipSync('q,a\n') }), { message: /a\.csv is packed by gzip, and its name does not end in \.gz/ });
  await t.throwsAsync(only({ 'a.csv': 'q,a,q\n1,2,3\n' }), { message: /a\.csv has two columns "q": rename one/ });
  const split = Buffer.from(`q\n${'é'.repeat(100_000)}\n`); // characters lie across the chunks in which a file is read
  t.deepEqual((await only({ 'a.csv': split })).rows, [{ q: 'é'.repeat(100_000) }]);
});

test('documents may lie in any table', async (t) => {
  const found = await rowsOf(documents, await files({ 'a.csv': 'title,page\nRivers,They flow.\n' }), {
    text: 'page',
    title: 'title',
    minChars: 1,
  });
  t.deepEqual(found.rows, [{ text: 'They flow.', header: 'Rivers', document: 'a.csv:2' }]);
});

const chat = (...turns: readonly (readonly [string, unknown])[]) => turns.map(([role, content]) => ({ role, content }));
const shared = (...turns: readonly (readonly [string, string])[]) => turns.map(([from, value]) => ({ from, value }));

test('ShareGPT: the first question and its answer, whoever speaks first', async (t) => {
  const { rows } = await only(
    {
      'a.jsonl': lines(
        { conversations: shared(['human', 'Name a river.'], ['gpt', 'Elbe.']) },
        { conversations: shared(['system', 'You are a guide.'], ['human', 'Name a sea.'], ['gpt', 'Baltic.']) },
        { conversations: shared(['gpt', 'Hello, how can I help?'], ['human', 'Name a lake.'], ['gpt', 'Garda.']) },
      ),
    },
    { format: 'sharegpt' },
  );
  t.deepEqual(rows, pairs(['Name a river.', 'Elbe.'], ['Name a sea.', 'Baltic.'], ['Name a lake.', 'Garda.']));
});

test('of a conversation the first, the last or the only exchange is taken', async (t) => {
  const long = chat(['user', 'a'], ['assistant', 'b'], ['user', 'c'], ['assistant', 'd']);
  const contents = {
    'a.jsonl': lines({ messages: long }, { messages: chat(['user', 'e'], ['assistant', [{ type: 'text', text: 'f' }]]) }),
  };
  const taken = (turns: string) => only(contents, { format: 'messages', turns });
  t.deepEqual((await taken('first')).rows, pairs(['a', 'b'], ['e', 'f']));
  t.deepEqual((await taken('last')).rows, pairs(['c', 'd'], ['e', 'f']));
  t.deepEqual(await taken('single'), {
    rows: pairs(['e', 'f']),
    dropped: [{ reason: 'several-turns', evidence: 'a.jsonl:1 has 2 exchanges' }],
  });
});

test('a conversation without an answer, or with an empty one, is dropped; one of unknown roles or contents is invalid', async (t) => {
  const contents = {
    'a.jsonl': lines(
      { messages: chat(['user', 'a'], ['tool', '1'], ['assistant', 'b']) },
      { messages: chat(['assistant', 'b']) },
      { messages: chat(['user', 'a'], ['assistant', ' \n']) },
    ),
  };
  const { rows, dropped } = await only(contents, { format: 'messages' });
  t.deepEqual([rows, dropped.map(({ reason }) => reason)], [[], ['no-answer', 'no-answer', 'empty']]);
  const refused = (messages: unknown, message: RegExp) =>
    t.throwsAsync(only({ 'a.jsonl': lines({ messages }) }, { format: 'messages' }), { message });
  await refused(chat(['narrator', 'a']), /a\.jsonl:1 has a turn by "narrator", which is no known role: mend the row/);
  await refused(chat(['user', 5]), /has a turn without a text in "content"/);
  await refused(chat(['user', [{ type: 'image' }]]), /has a turn without a text in "content"/);
});

test('Alpaca: the input follows the instruction, where there is one', async (t) => {
  const { rows } = await only(
    {
      'a.json': JSON.stringify([
        { instruction: 'Translate into French.', input: 'Good morning', output: 'Bonjour' },
        { instruction: 'Name a sea.', input: '', output: 'Baltic.' },
        { instruction: 'Name a lake.', input: '<noinput>', output: 'Garda.' },
        { instruction: '', input: 'Name a river.', output: 'Elbe.' },
        ...['N/A', 'nan', 'None', '[No Input]', 'Not applicable.'].map((input) => ({
          instruction: 'Name a hill.',
          input,
          output: 'Etna.',
        })),
        { instruction: 'Translate into Latin.', input: 'None of them', output: 'Nemo' },
      ]),
    },
    { format: 'alpaca' },
  );
  const bare = [
    ['Name a sea.', 'Baltic.'],
    ['Name a lake.', 'Garda.'],
    ['Name a river.', 'Elbe.'],
  ] as const;
  const hills = Array<[string, string]>(5).fill(['Name a hill.', 'Etna.']);
  const latin = ['Translate into Latin.\n\nNone of them', 'Nemo'] as const;
  t.deepEqual(rows, pairs(['Translate into French.\n\nGood morning', 'Bonjour'], ...bare, ...hills, latin));
});

test('prompt and completion, LIMA, Guanaco, and trees of Open Assistant', async (t) => {
  const read = async (format: string, ...rows: object[]) => (await only({ 'a.jsonl': lines(...rows) }, { format })).rows;
  const expected = pairs(['Name a sea.', 'Baltic.']);
  t.deepEqual(await read('prompt-completion', { prompt: 'Name a sea.', completion: 'Baltic.' }), expected);
  const turns = { prompt: chat(['user', 'Name a sea.']), completion: chat(['assistant', 'Baltic.']) };
  t.deepEqual(await read('prompt-completion', turns), expected);
  t.deepEqual(await read('lima', { conversations: ['Name a sea.', 'Baltic.', 'And a lake?', 'Garda.'] }), expected);
  const text = '### Human: Name a sea.### Assistant: Baltic.### Human: And a lake?### Assistant: Garda.';
  t.deepEqual(await read('guanaco', { text }), expected);
  const reply = (said: string, rank: number | null) => ({ role: 'assistant', text: said, rank, replies: [] });
  const prompt = { role: 'prompter', text: 'Name a sea.', replies: [reply('North?', 2), reply('Baltic.', 0), reply('Who knows.', null)] };
  t.deepEqual(await read('oasst', { prompt }), expected);
});

test('of preferences the chosen answer is taken, whether texts or messages, with the prompt apart or within', async (t) => {
  const read = async (row: object) => (await only({ 'a.jsonl': lines(row) }, { format: 'preference' })).rows;
  const expected = pairs(['Name a sea.', 'Baltic.']);
  const [user, good, bad] = chat(['user', 'Name a sea.'], ['assistant', 'Baltic.'], ['assistant', 'No.']);
  t.deepEqual(await read({ prompt: 'Name a sea.', chosen: 'Baltic.', rejected: 'No.' }), expected);
  t.deepEqual(await read({ prompt: [user], chosen: [good], rejected: [bad] }), expected);
  t.deepEqual(await read({ prompt: [user], chosen: 'Baltic.', rejected: 'No.' }), expected);
  t.deepEqual(await read({ chosen: [user, good], rejected: [user, bad], score_chosen: 8 }), expected);
  t.deepEqual(await read({ prompt: 'Name a sea.', chosen: [user, good], rejected: [user, bad] }), expected);
  t.deepEqual(await read({ prompt: 'Name a sea.', chosen: [good], rejected: [bad] }), expected);
  const dialogue = (answer: string) => `\n\nHuman: Name a sea.\n\nAssistant: ${answer}\n\nHuman: Why?\n\nAssistant: Who knows.`;
  t.deepEqual(await read({ chosen: dialogue('Baltic.'), rejected: dialogue('No.') }), expected);
  await t.throwsAsync(read({ chosen: 'Human: a', rejected: 'Human: b' }), {
    message: /has no texts, and no messages, "prompt" and "chosen"/,
  });
  await t.throwsAsync(read({ prompt: 'a', completion: 'b' }), { message: /has no "rejected": it looks like the format prompt-completion/ });
});

test('messages of Open Assistant trees, one a row in any order, are the trees; deleted ones are left out', async (t) => {
  const message = (message_id: string, parent_id: string | null, role: string, text: string, rank: number | null, deleted = false) => {
    return { message_id, parent_id, message_tree_id: message_id[0], role, text, rank, deleted };
  };
  const flat = [
    message('a2', 'a1', 'assistant', 'North?', 1),
    message('b1', null, 'prompter', 'Name a lake.', null),
    message('a1', null, 'prompter', 'Name a sea.', null),
    message('a3', 'a1', 'assistant', 'Baltic.', 0),
    message('b2', 'b1', 'assistant', 'Spam', 0, true),
    message('b3', 'b1', 'assistant', 'Garda.', 1),
    message('a4', 'a3', 'prompter', 'And its depth?', 0),
    message('a5', 'a4', 'assistant', 'Shallow.', 0),
  ];
  const contents = { 'a.jsonl': lines(...flat) };
  t.deepEqual((await only(contents, { format: 'oasst' })).rows, pairs(['Name a lake.', 'Garda.'], ['Name a sea.', 'Baltic.']));
  const last = await only(contents, { format: 'oasst', turns: 'last', limit: 2 });
  t.deepEqual(last.rows, pairs(['Name a lake.', 'Garda.'], ['And its depth?', 'Shallow.']));
  const torn = { 'a.jsonl': lines(...flat.filter(({ message_id }) => message_id !== 'b1')) };
  await t.throwsAsync(only(torn, { format: 'oasst' }), {
    message: /a\.jsonl:5 answers the message b1, which the file lacks: give whole trees/,
  });
});

test('a list of turns may have any of its usual names, and an assistant that calls a tool has not answered', async (t) => {
  const [user, answer] = chat(['user', 'a'], ['assistant', 'b']);
  const call = { role: 'assistant', content: null, tool_calls: [{ function: { name: 'search' } }] };
  const read = (format: string, ...rows: object[]) => only({ 'a.jsonl': lines(...rows) }, { format });
  t.deepEqual(
    (await read('messages', { conversation: [user, answer] }, { conversations: [user, answer] })).rows,
    pairs(['a', 'b'], ['a', 'b']),
  );
  t.deepEqual((await read('messages', { messages: JSON.stringify([user, answer]) })).rows, pairs(['a', 'b']));
  t.deepEqual((await read('messages', { messages: chat([' User', 'a'], ['AI', 'b']) })).rows, pairs(['a', 'b']));
  t.deepEqual((await read('sharegpt', { conversation: shared(['human', 'a'], ['gpt', 'b']) })).rows, pairs(['a', 'b']));
  const tools = await read('messages', { messages: [user, call, { role: 'tool', content: '1' }, answer] });
  t.deepEqual(
    tools.dropped.map(({ reason }) => reason),
    ['no-answer'],
  );
});

test('rows of another format than was said are refused with the format that they look like', async (t) => {
  const row = { conversations: shared(['human', 'a'], ['gpt', 'b']) };
  const contents = { 'a.jsonl': lines(row) };
  const hint = /a\.jsonl:1 has no .*: it looks like the format sharegpt: set `format: sharegpt`, or set onInvalid/;
  await t.throwsAsync(only(contents, { format: 'alpaca' }), { message: hint });
  await t.throwsAsync(only(contents, { fields: { instruction: 'instruction' } }), { message: hint });
  t.throws(() => table.params!.parse({ path: 'a', format: 'alpaca', fields: { a: 'b' } }), { message: /leave one of the two out/ });
});

test('a field of several places joins their texts, and `limit` ends the reading', async (t) => {
  const contents = { 'a.jsonl': lines({ a: 'x', b: 'y' }, { a: 'x', b: ' ' }, { a: 'x' }, { a: 'z' }) };
  const { rows } = await only(contents, { fields: { text: ['a', 'b'] }, limit: 3 });
  t.deepEqual(rows, [{ text: 'x\n\ny' }, { text: 'x' }, { text: 'x' }]);
  await t.throwsAsync(only({ 'a.jsonl': lines({ b: 'y' }) }, { fields: { text: ['a', 'b'] } }), { message: /has no "a"/ });
});

test('a folder stands for the files below it that a source reads, a glob for what it matches, in one order', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'backspin-folder-'));
  for (const name of ['b/two.md', 'one.html', 'b/three.parquet', 'picture.png', '.git/four.md', 'b.csv/five.txt']) {
    mkdirSync(join(folder, name, '..'), { recursive: true });
    writeFileSync(join(folder, name), 'text');
  }
  const registry = await loadRegistry([]);
  const found = (source: string, ...path: string[]) => {
    const call = { verb: 'source', operation: `source:${source}`, path: 'data-a', label: 'a', arm: null, round: null, inputs: { folder } };
    return sourceFiles(call as never, registry, { path }).map((file) => relative(folder, file));
  };
  t.deepEqual(found('std.documents', '.'), ['b.csv/five.txt', 'b/three.parquet', 'b/two.md', 'one.html']);
  t.deepEqual(found('std.table', 'b'), ['b/three.parquet']);
  t.deepEqual(found('std.documents', '**/*.md', 'one.html'), ['b/two.md', 'one.html']);
  t.deepEqual(found('std.table', 'not-there.jsonl'), ['not-there.jsonl'], 'a missing file is named when it is read');
  t.throws(() => found('std.table', '*.jsonl'), { message: /\*\.jsonl \(a\) matches no file: check the path/ });
  t.throws(() => found('std.table', 'b.csv'), { message: /b\.csv \(a\) holds no file that this source reads/ });
});
