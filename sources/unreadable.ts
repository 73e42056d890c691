/** What is wrong with bytes that are no UTF-8 text, and the command that makes it good. */

/** Of a line, or of a whole file. */
export interface Fault {
  /** Goes on behind its place: "is not UTF-8". */
  readonly fault: string;
  /** What to do, as an imperative sentence. */
  readonly remedy: string;
}

/** For a shell. */
const quoted = (path: string): string => (/^[\w./~+,:@%-]+$/.test(path) ? path : `'${path.replaceAll("'", String.raw`'\''`)}'`);

const packedBy: Readonly<Record<string, string>> = { '.gz': 'gzip -dc', '.zst': 'zstd -dc --long=31' };
/** A path without the ending of what it is packed by, and the program that unpacks it. */
function unpackedPath(path: string): { readonly plain: string; readonly program: string | undefined } {
  const packed = /\.(gz|zst)$/i.exec(path)?.[0];
  return packed === undefined
    ? { plain: path, program: undefined }
    : { plain: path.slice(0, -packed.length), program: packedBy[packed.toLowerCase()] };
}

/** The command of a program that reads a file, unpacked, and writes another. */
function command(path: string, program: string, name: (plain: string) => string): string {
  const { plain, program: unpack } = unpackedPath(path);
  return `\`${unpack ? `${unpack} ${quoted(path)} | ${program}` : `${program} ${quoted(path)}`} > ${quoted(name(plain))}\``;
}

/** Makes a file of JSON lines. */
export const byJq = (path: string, filter: '.' | '.[]'): string =>
  command(path, `jq -c '${filter}'`, (plain) => plain.replace(/(\.[^./]*)?$/, plain.endsWith('.jsonl') ? '.lines.jsonl' : '.jsonl'));

/** Makes files of whole lines, of so many MiB at most. */
export function splitBy(path: string, mebibytes: number): string {
  const { plain, program } = unpackedPath(path);
  const ending = /\.[^./]+$/.exec(plain)?.[0] ?? '';
  const split = (from: string) =>
    `split -C ${mebibytes}m${ending && ` --additional-suffix=${quoted(ending)}`} ${from} ${quoted(`${plain.slice(0, plain.length - ending.length)}.part-`)}`;
  return `\`${program ? `${program} ${quoted(path)} | ${split('-')}` : split(quoted(path))}\``;
}

const python = (path: string, code: (from: string, to: string) => string): string =>
  `\`python3 -c ${quoted(code(JSON.stringify(path), JSON.stringify(`${path}.jsonl`)))}\``;
const moved = (path: string, ending: string): string => `name it so (\`mv ${quoted(path)} ${quoted(path + ending)}\`)`;

/** Beginnings of files that are no text: where they lie, what they are, and what to do. */
const formats: readonly (readonly [magic: string, at: number, what: string, remedy: (path: string) => string])[] = [
  ['\x1f\x8b', 0, 'packed by gzip, and its name does not end in .gz', (path) => moved(path, '.gz')],
  ['\x28\xb5\x2f\xfd', 0, 'packed by zstd, and its name does not end in .zst', (path) => moved(path, '.zst')],
  ['BZh', 0, 'packed by bzip2', (path) => `unpack it (\`bzip2 -dk ${quoted(path)}\`)`],
  ['\xfd7zXZ', 0, 'packed by xz', (path) => `unpack it (\`xz -dk ${quoted(path)}\`)`],
  ['ustar', 257, 'a tar archive', (path) => `unpack it (\`tar -xf ${quoted(path)}\`) and name its files`],
  ['PK\x03\x04', 0, 'a ZIP archive, or a document of an office program', () => 'unpack it, or have its program write it as text'],
  ['%PDF-', 0, 'a PDF', (path) => `make text of it (\`pdftotext ${quoted(path)} ${quoted(`${path}.txt`)}\`)`],
  [
    'PAR1',
    0,
    'a Parquet file',
    (path) =>
      `write it as JSONL (${python(path, (from, to) => `import pandas; pandas.read_parquet(${from}).to_json(${to}, orient="records", lines=True)`)}, with a Python that has pandas and pyarrow: \`backspin doctor\` names one)`,
  ],
  [
    '\xff\xff\xff\xff',
    0,
    'an Arrow file',
    (path) =>
      `write it as JSONL (${python(path, (from, to) => `import datasets; datasets.Dataset.from_file(${from}).to_json(${to})`)}, with a Python that has datasets: \`backspin doctor\` names one)`,
  ],
];

const convert = (path: string, encoding: string, options = '') =>
  command(path, `iconv${options} -f ${encoding} -t UTF-8`, (name) => name.replace(/(\.[^./]*)?$/, '.utf8$1'));

/** What a file is whose beginning says that it is no UTF-8 text. */
export function formatOf(path: string, head: Buffer): Fault | undefined {
  const found = formats.find(([magic, at]) => head.toString('latin1', at, at + magic.length) === magic);
  if (found) return { fault: `is ${found[2]}`, remedy: found[3](path) };
  const wide = wideEncoding(head);
  return wide === undefined ? undefined : { fault: `is not UTF-8 but ${wide}`, remedy: `convert it (${convert(path, wide)})` };
}

/** Of a text whose characters have two or four bytes: by its byte order mark, or by its zeros. */
function wideEncoding(head: Buffer): string | undefined {
  const mark = head.toString('latin1', 0, 4);
  if (/^(\xff\xfe\0\0|\0\0\xfe\xff)/.test(mark)) return 'UTF-32';
  if (/^(\xff\xfe|\xfe\xff)/.test(mark)) return 'UTF-16';
  const bytes = [...head.subarray(0, 1000)];
  const zeros = (odd: 0 | 1) => bytes.filter((byte, at) => byte === 0 && at % 2 === odd).length;
  const [even, odd] = [zeros(0), zeros(1)];
  if (odd * 4 > bytes.length && even === 0) return 'UTF-16LE';
  return even * 4 > bytes.length && odd === 0 ? 'UTF-16BE' : undefined;
}

/** Of bytes that are not UTF-8: the file's, or those of one of its lines. */
export function notUtf8(path: string, bytes: Buffer): Fault {
  const fault = 'is not UTF-8';
  if (bytes.includes(0)) return { fault: 'is binary, and no text', remedy: 'take it out, or have the program that made it write text' };
  const high = highBytes(bytes);
  if (high.broken * 4 <= high.sound)
    return { fault: `${fault} in ${high.broken} places`, remedy: `mend them, or leave those bytes out (${convert(path, 'UTF-8', ' -c')})` };
  if (high.bytes < 3 * high.runs) {
    // these have no letter in Windows-1252
    const encoding = /[\x81\x8d\x8f\x90\x9d]/.test(bytes.toString('latin1')) ? 'ISO-8859-1' : 'WINDOWS-1252';
    return { fault: `${fault}, but perhaps ${encoding}`, remedy: `convert the file (${convert(path, encoding)})` };
  }
  const others = 'SHIFT_JIS, EUC-KR or WINDOWS-1251 in that place where it is Japanese, Korean or Russian';
  return { fault, remedy: `convert the file (${convert(path, 'GB18030')} where it is Chinese; ${others})` };
}

/** Bytes above ASCII, and how many runs they make: short ones in a language of Latin letters. What a decoder makes of them. */
function highBytes(bytes: Buffer): { readonly bytes: number; readonly runs: number; readonly sound: number; readonly broken: number } {
  let [all, runs] = [0, 0];
  for (let at = 0; at < bytes.length; at++) {
    if (bytes[at]! < 0x80) continue;
    all++;
    if (at === 0 || bytes[at - 1]! < 0x80) runs++;
  }
  let [sound, broken] = [0, 0];
  for (const char of bytes.toString('utf8')) {
    if (char === '\ufffd') broken++;
    else if (char > '\x7f') sound++;
  }
  return { bytes: all, runs, sound, broken };
}
