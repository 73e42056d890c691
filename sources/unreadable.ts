/** Explains why bytes are not UTF-8 text, and names the command that converts them. */

/** A fault of a line or of a file. */
export interface Fault {
  /** Continues a sentence after the place: "is not UTF-8". */
  readonly fault: string;
  /** What to do, as an imperative sentence. */
  readonly remedy: string;
}

/** Quotes a path for a shell. */
const shellQuote = (path: string): string => (/^[\w./~+,:@%-]+$/.test(path) ? path : `'${path.replaceAll("'", String.raw`'\''`)}'`);

const packedBy: Readonly<Record<string, string>> = { '.gz': 'gzip -dc', '.zst': 'zstd -dc --long=31' };
/** Splits off the extension of a compressed file, and names the program that decompresses it. */
function unpackedPath(path: string): { readonly plain: string; readonly program: string | undefined } {
  const packed = /\.(gz|zst)$/i.exec(path)?.[0];
  return packed === undefined
    ? { plain: path, program: undefined }
    : { plain: path.slice(0, -packed.length), program: packedBy[packed.toLowerCase()] };
}

/** Returns the shell command that decompresses a file, runs a program on it, and writes the result. */
function shellCommand(path: string, program: string, name: (plain: string) => string): string {
  const { plain, program: unpack } = unpackedPath(path);
  return `\`${unpack ? `${unpack} ${shellQuote(path)} | ${program}` : `${program} ${shellQuote(path)}`} > ${shellQuote(name(plain))}\``;
}

/** The command that converts a file to JSON Lines. */
export const byJq = (path: string, filter: '.' | '.[]'): string =>
  shellCommand(path, `jq -c '${filter}'`, (plain) => plain.replace(/(\.[^./]*)?$/, plain.endsWith('.jsonl') ? '.lines.jsonl' : '.jsonl'));

/** The command that splits a file at line ends into files of at most `mebibytes` MiB. */
export function splitBy(path: string, mebibytes: number): string {
  const { plain, program } = unpackedPath(path);
  const ending = /\.[^./]+$/.exec(plain)?.[0] ?? '';
  const split = (from: string) =>
    `split -C ${mebibytes}m${ending && ` --additional-suffix=${shellQuote(ending)}`} ${from} ${shellQuote(`${plain.slice(0, plain.length - ending.length)}.part-`)}`;
  return `\`${program ? `${program} ${shellQuote(path)} | ${split('-')}` : split(shellQuote(path))}\``;
}

const moved = (path: string, ending: string): string => `name it so (\`mv ${shellQuote(path)} ${shellQuote(path + ending)}\`)`;

/** Magic bytes of binary formats: where they are, what the file is, and what to do. */
const formats: readonly (readonly [magic: string, at: number, what: string, remedy: (path: string) => string])[] = [
  ['\x1f\x8b', 0, 'packed by gzip, and its name does not end in .gz', (path) => moved(path, '.gz')],
  ['\x28\xb5\x2f\xfd', 0, 'packed by zstd, and its name does not end in .zst', (path) => moved(path, '.zst')],
  ['BZh', 0, 'packed by bzip2', (path) => `unpack it (\`bzip2 -dk ${shellQuote(path)}\`)`],
  ['\xfd7zXZ', 0, 'packed by xz', (path) => `unpack it (\`xz -dk ${shellQuote(path)}\`)`],
  ['ustar', 257, 'a tar archive', (path) => `unpack it (\`tar -xf ${shellQuote(path)}\`) and name its files`],
  ['PK\x03\x04', 0, 'a ZIP archive, or a document of an office program', () => 'unpack it, or have its program write it as text'],
  ['%PDF-', 0, 'a PDF', (path) => `make text of it (\`pdftotext ${shellQuote(path)} ${shellQuote(`${path}.txt`)}\`)`],
  ['PAR1', 0, 'a Parquet file, and its name does not end in .parquet', (path) => moved(path, '.parquet')],
  ['ARROW1', 0, 'an Arrow file, and its name does not end in .arrow', (path) => moved(path, '.arrow')],
  ['\xff\xff\xff\xff', 0, 'an Arrow stream, and its name does not end in .arrow', (path) => moved(path, '.arrow')],
];

const convert = (path: string, encoding: string, options = '') =>
  shellCommand(path, `iconv${options} -f ${encoding} -t UTF-8`, (name) => name.replace(/(\.[^./]*)?$/, '.utf8$1'));

/** Returns the fault of a file whose first bytes show that it is not UTF-8 text. */
export function formatOf(path: string, head: Buffer): Fault | undefined {
  const found = formats.find(([magic, at]) => head.toString('latin1', at, at + magic.length) === magic);
  if (found) return { fault: `is ${found[2]}`, remedy: found[3](path) };
  const wide = wideEncoding(head);
  return wide === undefined ? undefined : { fault: `is not UTF-8 but ${wide}`, remedy: `convert it (${convert(path, wide)})` };
}

/** Detects a text with two or four bytes per character by its byte order mark or its zeros. */
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

/** Returns the fault of bytes that are not UTF-8, of a file or of one of its lines. */
export function notUtf8(path: string, bytes: Buffer): Fault {
  const fault = 'is not UTF-8';
  if (bytes.includes(0)) return { fault: 'is binary, and no text', remedy: 'take it out, or have the program that made it write text' };
  const high = highBytes(bytes);
  if (high.broken * 4 <= high.sound)
    return { fault: `${fault} in ${high.broken} places`, remedy: `mend them, or leave those bytes out (${convert(path, 'UTF-8', ' -c')})` };
  if (high.bytes < 3 * high.runs) {
    // Windows-1252 does not define these bytes
    const encoding = /[\x81\x8d\x8f\x90\x9d]/.test(bytes.toString('latin1')) ? 'ISO-8859-1' : 'WINDOWS-1252';
    return { fault: `${fault}, but perhaps ${encoding}`, remedy: `convert the file (${convert(path, encoding)})` };
  }
  const others = 'SHIFT_JIS, EUC-KR or WINDOWS-1251 in that place where it is Japanese, Korean or Russian';
  return { fault, remedy: `convert the file (${convert(path, 'GB18030')} where it is Chinese; ${others})` };
}

/** Counts bytes above ASCII, their runs (short ones in Latin-script languages), and the characters that decode or fail to. */
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
