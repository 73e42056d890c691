/** Files that cannot be read as they are: what is said of them, and that the command in the sentence makes them readable. */
import { execFile, execFileSync } from 'node:child_process';
import { createWriteStream } from 'node:fs';
import { chmod, mkdir, mkdtemp, readdir, readFile, rename, writeFile } from 'node:fs/promises';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { constants, gzipSync, zstdCompressSync } from 'node:zlib';
import test, { type ExecutionContext } from 'ava';
import { pythonOf } from '../../devices/python.ts';
import { documents, table } from '../../sources/index.ts';
import type { SourceDef } from '../../recipe/define.ts';
import { files, rowsOf } from '../support/reduce.ts';

const objects = Array.from({ length: 40 }, (_, n) => ({ text: `Zeile ${n}: für “wen”? ${'Straße '.repeat(9)}` }));
const lines = objects.map((object) => `${JSON.stringify(object)}\n`).join('');
const iconv = (text: string, encoding: string): Buffer => execFileSync('iconv', ['-f', 'UTF-8', '-t', encoding], { input: text });

/** Types the first command of the sentence with which a file is refused. Gives the files that it has made. */
async function remedied<T, P extends object>(
  t: ExecutionContext,
  source: SourceDef<T, P>,
  path: string,
  message: RegExp,
): Promise<string[]> {
  const error = await t.throwsAsync(rowsOf(source, [path]), { name: 'SchemaError', message });
  const command = /`([^`]+)`/.exec(error.message)![1]!;
  t.log(command);
  const before = await readdir(dirname(path));
  const shim = await mkdtemp(join(tmpdir(), 'backspin-python-'));
  await writeFile(join(shim, 'python3'), `#!/bin/sh\nexec ${pythonOf().python} "$@"\n`);
  await chmod(join(shim, 'python3'), 0o755);
  const env = { ...process.env, PATH: `${shim}${delimiter}${process.env['PATH']}`, HF_HOME: shim };
  await promisify(execFile)('sh', ['-ec', command], { env });
  return (await readdir(dirname(path))).filter((name) => !before.includes(name)).map((name) => join(dirname(path), name));
}

for (const [encoding, text, said] of [
  ['WINDOWS-1252', lines, /is not UTF-8, but perhaps WINDOWS-1252/],
  ['UTF-16', lines, /is not UTF-8 but UTF-16/],
  ['UTF-16LE', lines, /is not UTF-8 but UTF-16LE/],
  ['UTF-16BE', lines, /is not UTF-8 but UTF-16BE/],
  ['UTF-32', lines, /is not UTF-8 but UTF-32/],
  ['GB18030', lines.replaceAll(/[^{}":\n]+(?="})/g, '如何煮米饭，才能又软又香？'), /is not UTF-8: convert the file .*Chinese/],
] as const) {
  test(`the command that a file in ${encoding} is refused with makes it UTF-8`, async (t) => {
    for (const [name, pack] of [
      ["it's (one).md", (bytes: Buffer) => bytes],
      ['one.MD.GZ', gzipSync],
      ['one.md.ZST', zstdCompressSync],
    ] as const) {
      const [path] = await files({ [name]: pack(iconv(text, encoding)) });
      const [made] = await remedied(t, documents, path!, said);
      t.is(await readFile(made!, 'utf8'), text);
    }
    if (!encoding.startsWith('UTF')) return;
    const [path] = await files({ 'pairs.jsonl': iconv(text, encoding) });
    const [made] = await remedied(t, table, path!, said);
    t.deepEqual((await rowsOf(table, [made!])).rows, objects);
  });
}

test('a text with a few broken bytes is not taken for one in another encoding', async (t) => {
  const bytes = Buffer.concat([Buffer.from(lines), Buffer.from([0xc3]), Buffer.from(lines)]);
  const [made] = await remedied(t, documents, (await files({ 'a.md': bytes }))[0]!, /is not UTF-8 in 1 places/);
  t.is(await readFile(made!, 'utf8'), lines + lines);
});

test('the command that a JSON list is refused with writes its entries one a line', async (t) => {
  const [path] = await files({ 'list.jsonl': JSON.stringify(objects, null, 2) });
  for (const source of [table, documents] as const)
    await t.throwsAsync(rowsOf(source as typeof table, [path!]), { message: /but a list: write its entries one a line/ });
  const [made] = await remedied(t, table, path!, /but a list/);
  t.deepEqual((await rowsOf(table, [made!])).rows, objects);
  const [several] = await files({ 'objects.json': objects.map((object) => JSON.stringify(object, null, 2)).join('\n') });
  const [split] = await remedied(t, documents, several!, /is not JSON Lines: it begins an object of several lines/);
  t.deepEqual((await rowsOf(table, [split!])).rows, objects);
});

test('what datasets saves is read, and under another name its own is told', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "backspin's tables-"));
  const make = `import datasets, sys, json
datasets.Dataset.from_list(json.load(sys.stdin)).save_to_disk(sys.argv[1])`;
  execFileSync(pythonOf().python, ['-c', make, folder], { input: JSON.stringify(objects), env: { ...process.env, HF_HOME: folder } });
  const path = join(folder, 'data-00000-of-00001.arrow');
  t.deepEqual((await rowsOf(table, [path])).rows, objects);
  await rename(path, join(folder, 'data.jsonl'));
  const [made] = await remedied(t, table, join(folder, 'data.jsonl'), /is an Arrow stream, and its name does not end in \.arrow/);
  t.deepEqual((await rowsOf(table, [made!])).rows, objects);
});

test('a packed file without its ending is told which one, and is read under it', async (t) => {
  for (const [pack, ending] of [
    [gzipSync, '.gz'],
    [zstdCompressSync, '.zst'],
  ] as const) {
    const [made] = await remedied(t, table, (await files({ 'a.jsonl': pack(lines) }))[0]!, /is packed by .* does not end in/);
    t.true(made!.endsWith(`.jsonl${ending}`));
    t.deepEqual((await rowsOf(table, [made!])).rows, objects);
  }
});

test('all frames of a zstd file are read, those of long windows too, and all members of a gzip file', async (t) => {
  const three = [objects.slice(0, 10), objects.slice(10, 11), objects.slice(11)].map((part) =>
    Buffer.from(part.map((object) => `${JSON.stringify(object)}\n`).join('')),
  );
  const long = (bytes: Buffer) =>
    zstdCompressSync(bytes, { params: { [constants.ZSTD_c_windowLog]: 28, [constants.ZSTD_c_enableLongDistanceMatching]: 1 } });
  const note = Buffer.from('\x50\x2a\x4d\x18\x05\0\0\0hello', 'latin1'); // a frame to be skipped, as pzstd writes it
  const packed = {
    'a.jsonl.zst': Buffer.concat([long(three[0]!), note, zstdCompressSync(''), long(three[1]!), long(three[2]!)]),
    'b.JSONL.GZ': Buffer.concat(three.map((part) => gzipSync(part))),
  };
  for (const path of await files(packed)) {
    t.deepEqual((await rowsOf(table, [path])).rows, objects);
    const documented = await rowsOf(documents, [path], { minChars: 1 });
    t.is(documented.rows.length + documented.dropped.length, objects.length);
  }
  const [torn] = await files({ 'c.jsonl.zst': Buffer.concat([long(three[0]!), Buffer.from('rubbish')]) });
  await t.throwsAsync(rowsOf(table, [torn!]), { name: 'SchemaError', message: /c\.jsonl\.zst cannot be unpacked/ });
});

test('`onInvalid: drop` drops a document that cannot be read among others, by its name', async (t) => {
  const heading = '# Rivers\n\nThey flow.\n';
  const paths = await files({
    'a.md': heading,
    'b.md': iconv('café', 'WINDOWS-1252'),
    'c.md.gz': gzipSync(heading).subarray(0, 20),
    'd.pdf': '%PDF-1.4\n',
    'e.md': Buffer.from([0, 1, 2, 0xff, 0xd8]),
    'f.jsonl': `[\n{"text": "a"},\n{"text": "b"}\n]\n`,
  });
  const { rows, dropped } = await rowsOf(documents, paths, { onInvalid: 'drop', minChars: 1 });
  t.deepEqual(rows, [{ text: 'They flow.', header: 'Rivers', document: 'a.md' }]);
  t.deepEqual(
    dropped.map(({ reason, evidence }) => [reason, evidence!.split(' ')[0]]),
    ['b.md', 'c.md.gz', 'd.pdf', 'e.md', 'f.jsonl'].map((name) => ['invalid', name]),
  );
});

test('documents are named by their paths in the folder that holds all of them, wherever that lies', async (t) => {
  const names = async () => {
    const folder = await mkdtemp(join(tmpdir(), 'backspin-'));
    const paths = ['a/index.md', 'a/b/index.md', 'c/index.md'].map((name) => join(folder, 'book', name));
    for (const path of paths) {
      await mkdir(dirname(path), { recursive: true });
      await writeFile(path, `# Of ${path.slice(folder.length)}\n\nText of ${path.slice(folder.length)}.\n`);
    }
    const { rows } = await rowsOf(documents, paths, { minChars: 1 });
    const { dropped } = await rowsOf(documents, paths);
    return { rows, dropped };
  };
  const found = await names();
  const { rows, dropped } = found;
  t.deepEqual(
    rows.map(({ document }) => document),
    ['a/index.md', 'a/b/index.md', 'c/index.md'],
  );
  t.regex(dropped[1]!.evidence!, /^a\/b\/index\.md: /);
  t.deepEqual(await names(), found);
});

/** A file of so many megabytes. */
async function large(name: string, megabytes: number, part: string): Promise<string> {
  const path = join(await mkdtemp(join(tmpdir(), 'backspin-')), name);
  const file = createWriteStream(path);
  const chunk = part.repeat(Math.ceil(1e6 / part.length));
  for (let n = 0; n < megabytes; n++) if (!file.write(chunk)) await once(file, 'drain');
  file.end();
  await once(file, 'close');
  return path;
}

test('a text of 200 MB, or of 600, is too large, and the command that it is refused with makes parts that are not', async (t) => {
  for (const megabytes of [200, 600]) {
    const path = await large('book.md', megabytes, 'All of it is sound text.\n');
    const { dropped } = await rowsOf(documents, [path], { onInvalid: 'drop' }).catch((error: unknown) => {
      t.regex((error as Error).message, /gives no record/);
      return { dropped: [] };
    });
    t.regex(dropped[0]!.evidence!, /^book\.md is too large: a document can have 32 MiB$/);
    const parts = await remedied(t, documents, path, /is too large/);
    t.true(parts.length > megabytes / 32);
    t.true(parts.every((part) => /book\.part-\w\w\.md$/.test(part)));
    if (megabytes > 200) continue;
    const { dropped: segments } = await rowsOf(documents, parts.slice(0, 1));
    t.is(segments[0]!.reason, 'no-header');
  }
});

test('a line of 600 MB is a line that does not fit, and those behind it are read', async (t) => {
  const path = await large('a.jsonl', 600, 'x');
  await promisify(execFile)('sh', ['-c', `printf '\\n{"text":"good"}\\n' >> '${path}'`]);
  await t.throwsAsync(rowsOf(table, [path]), { message: /a\.jsonl:1 is too large: a line can have 32 MiB/ });
  const { rows, dropped } = await rowsOf(table, [path], { onInvalid: 'drop' });
  t.deepEqual([rows, dropped.length], [[{ text: 'good' }], 1]);
});
