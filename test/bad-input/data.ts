/** Data files, and the records in them. */
import { gzipSync, zstdCompressSync } from 'node:zlib';
import type { Case } from './case.ts';
import { changed, files, lines, plan, sound } from './experiment.ts';

const whole = `${lines.join('\n')}\n`;
/** The seed data with a line more behind its second. */
const among = (line: string) => `${lines.slice(0, 2).join('\n')}\n${line}\n${lines.slice(2).join('\n')}\n`;

/** The sound experiment with other seed data. */
function seed(what: string, content: string | Uint8Array, says: RegExp, { name = 'seed.jsonl', params = '', ends = 1 } = {}): Case {
  return plan(what, changed('path: seed.jsonl', `path: ${name}${params}`), says, { more: { [name]: content }, ends });
}
const fields = ', fields: { instruction: instruction, response: response }';

export const data: readonly Case[] = [
  plan(
    'a data file is not there',
    changed('seed.jsonl', 'sead.jsonl'),
    /The file .*sead\.jsonl cannot be read \(ENOENT\): check its path in the experiment file/,
  ),
  plan(
    'a data file is a folder without data',
    changed('seed.jsonl', 'none'),
    /none \(data-seed\) holds no file that this source reads: check the path/,
    {
      more: { 'none/notes.md': 'x' },
    },
  ),
  plan('a glob that matches nothing', changed('seed.jsonl', '"*.jsonl.gz"'), /\*\.jsonl\.gz \(data-seed\) matches no file: check the path/),
  seed('a .gz that is none', whole, /seed\.jsonl\.gz cannot be unpacked \(incorrect header check\): fetch it again/, {
    name: 'seed.jsonl.gz',
  }),
  seed(
    'a .gz that was cut',
    gzipSync(whole).subarray(0, 60),
    /seed\.jsonl\.gz cannot be unpacked \(unexpected end of file\): fetch it again/,
    { name: 'seed.jsonl.gz' },
  ),
  seed(
    'a .zst that was cut',
    zstdCompressSync(whole).subarray(0, 60),
    /seed\.jsonl\.zst cannot be unpacked \(unexpected end of file\): fetch it again/,
    { name: 'seed.jsonl.zst' },
  ),
  seed(
    'a .zst of two frames',
    Buffer.concat([zstdCompressSync(whole), zstdCompressSync(whole)]),
    /data-seed +reduce +data +16 +8 +8 duplicate/,
    {
      name: 'seed.jsonl.zst',
      ends: 0,
    },
  ),
  seed(
    'a packed file without its ending',
    gzipSync(whole),
    /seed\.jsonl is packed by gzip, and its name does not end in \.gz: name it so \(`mv .*seed\.jsonl .*seed\.jsonl\.gz`\)/,
  ),
  seed(
    'a line in Latin-1',
    Buffer.from(among('{"instruction":"Größe?","response":"1"}'), 'latin1'),
    /seed\.jsonl:3 is not UTF-8, but perhaps WINDOWS-1252: convert the file \(`iconv -f WINDOWS-1252 -t UTF-8 .*`\) if all of it is so, else mend the line, or set onInvalid/,
  ),
  seed('NUL bytes after a crash of the disk', among('\0\0\0\0'), /seed\.jsonl:3 is not JSON .*: mend the line, or set onInvalid/),
  seed(
    'a list of JSON under the name of JSON Lines',
    JSON.stringify(
      lines.map((line) => JSON.parse(line) as unknown),
      null,
      2,
    ),
    /seed\.jsonl is not JSON Lines but a list: write its entries one a line \(`jq -c '\.\[\]' .*seed\.jsonl > .*seed\.lines\.jsonl`\)/,
  ),
  seed('a table with a row too short', 'instruction,response\na,b\nc\n', /seed\.csv:3 has 1 cells, and the first row 2: mend the row/, {
    name: 'seed.csv',
  }),
  seed(
    'a conversation, where pairs are expected',
    '{"conversations":[{"from":"human","value":"a"},{"from":"gpt","value":"b"}]}\n',
    /seed\.jsonl:1 has no "instruction": it looks like the format sharegpt: set `format: sharegpt`/,
    { params: fields },
  ),
  seed('a comma too many', among('{"instruction":"a","response":"b",}'), /seed\.jsonl:3 is not JSON .*: mend the line/),
  seed(
    'a number that JSON does not have',
    among('{"instruction":"a","response":"b","score":NaN}'),
    /seed\.jsonl:3 is not JSON .*NaN.*: mend the line/,
  ),
  seed(
    'a number that nothing can hold',
    among('{"instruction":"a","response":"b","score":1e999}'),
    /seed\.jsonl:3 has the number 1e999, which is too large: mend the line, or set onInvalid/,
  ),
  seed('a last line that was cut', whole.slice(0, -20), /seed\.jsonl:8 is not JSON .*: mend the line/),
  seed('a record without a field', among('{"instruction":"a"}'), /seed\.jsonl:3 has no "response": mend the row, or set onInvalid/, {
    params: fields,
  }),
  seed(
    'a field of another type',
    among('{"instruction":"a","response":7}'),
    /seed\.jsonl:3 has a "response" that is no string: mend the row/,
    { params: fields },
  ),
  seed(
    'records with other names than the recipe reads',
    '{"prompt":"a","answer":"b"}\n',
    /Missing:\n\s+Step backward reads records by humpback\.toInstruction, and the first of them does not fit: instruction is missing; expected a string/,
  ),
  seed('an empty file', '', /std\.table \(data-seed\) gives no record: it holds nothing\. Give it other files or parameters/),
  seed('a file of which nothing is left', 'x\ny\n', /std\.table \(data-seed\) gives no record: all 2 were dropped \(invalid\)/, {
    params: ', onInvalid: drop',
  }),
  seed('a bad line that is to be dropped', among('{"instruction":'), /data-seed +reduce +data +9 +8 +1 invalid/, {
    params: ', onInvalid: drop',
    ends: 0,
  }),
  seed('records that come twice', whole + whole, /data-seed +reduce +data +16 +8 +8 duplicate/, { ends: 0 }),
  seed(
    'a mark at the beginning, carriage returns, half a character',
    `\ufeff${among('{"instruction":"a","response":"\\ud83d"}').replaceAll('\n', '\r\n')}`,
    /data-seed +reduce +data +9 +9 /,
    { ends: 0 },
  ),
  seed(
    'a line of ten megabytes',
    among(JSON.stringify({ instruction: 'a', response: 'b'.repeat(1e7) })),
    /data-seed +reduce +data +9 +9 /,
    { ends: 0 },
  ),
  plan('documents without a heading', sound, /std\.documents \(data-corpus\) gives no record: all 1 were dropped \(no-header\)/, {
    more: { 'corpus.md': 'No heading.' },
  }),
  plan('documents whose text lies elsewhere', changed('corpus.md', 'corpus.jsonl'), /corpus\.jsonl:1 has no text at "text": mend the row/, {
    more: { 'corpus.jsonl': '{"body":"x"}\n' },
  }),
  plan(
    'documents in UTF-16',
    sound,
    /corpus\.md is not UTF-8 but UTF-16: convert it \(`iconv -f UTF-16 -t UTF-8 .*corpus\.md > .*corpus\.utf8\.md`\)/,
    {
      more: { 'corpus.md': Buffer.from(`\ufeff${String(files['corpus.md'])}`, 'utf16le') },
    },
  ),
];
