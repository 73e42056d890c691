/** Reads Arrow's IPC files and streams batch by batch: `.arrow`, and `.feather` of version 2. */
import type { DataType, RecordBatch, StructRow, Vector } from 'apache-arrow';
import { open, type FileHandle } from 'node:fs/promises';
import { zstdDecompressSync } from 'node:zlib';
import { decimalOf } from './decimals.ts';
import type { Values } from './lines.ts';

type Arrow = typeof import('apache-arrow');

/** Yields the rows of a file, with values as a reader of Parquet gives them: times are `Date`, integers of 64 bits bigint.
 *
 *  @throws Error for a file that is cut short, or has a type that cannot be read */
export async function* arrowRows(path: string): AsyncGenerator<Values> {
  const [arrow, { decompressFrameSync }] = await Promise.all([import('apache-arrow'), import('lz4-napi')]);
  arrow.compressionRegistry.set(arrow.CompressionType.ZSTD, { decode: (data) => zstdDecompressSync(data) });
  arrow.compressionRegistry.set(arrow.CompressionType.LZ4_FRAME, { decode: (data) => decompressFrameSync(Buffer.from(data)) });
  const file = await open(path);
  try {
    await checkEnds(file);
    for await (const batch of (await arrow.RecordBatchReader.from(file)) as unknown as AsyncIterable<RecordBatch>) {
      const columns = batch.schema.fields.map(({ name, type }, at) => ({ name, type, vector: batch.getChildAt(at)! }));
      for (let row = 0; row < batch.numRows; row++)
        yield Object.fromEntries(columns.map(({ name, type, vector }) => [name, valueOf(arrow, type as DataType, vector.get(row))]));
    }
  } finally {
    await file.close();
  }
}

/** A file begins and ends with its magic word. A stream ends with an empty message; before version 0.15 of Arrow messages had no mark. The
 *  library takes what is cut between two batches for whole. */
async function checkEnds(file: FileHandle): Promise<void> {
  const { size } = await file.stat();
  const read = async (length: number, position: number) => {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(length), 0, length, Math.max(0, position));
    return buffer.toString('latin1', 0, bytesRead);
  };
  const [start, end] = [await read(8, 0), await read(8, size - 8)];
  if (start.startsWith('FEA1')) throw new Error('it is Feather of version 1');
  const last = start.startsWith(MAGIC) ? MAGIC : start.startsWith(MARK) ? `${MARK}\0\0\0\0` : '\0\0\0\0';
  if (size < 8 || !end.endsWith(last)) throw new Error('its end is missing');
}
const MAGIC = 'ARROW1';
const MARK = '\xff\xff\xff\xff';

function valueOf(arrow: Arrow, type: DataType, value: unknown): unknown {
  const { DataType } = arrow;
  if (value === null || value === undefined) return null;
  if (DataType.isDate(type) || DataType.isTimestamp(type)) return new Date(Number(value));
  if (DataType.isDecimal(type)) return decimalOf(unscaledOf(value as Uint32Array), type.scale);
  if (DataType.isDictionary(type)) return valueOf(arrow, type.dictionary as DataType, value);
  if (DataType.isList(type) || DataType.isFixedSizeList(type))
    return Array.from(value as Vector, (one) => valueOf(arrow, type.children[0]!.type as DataType, one));
  if (DataType.isStruct(type)) {
    const row = value as StructRow;
    return Object.fromEntries(type.children.map((field) => [field.name, valueOf(arrow, field.type as DataType, row[field.name as never])]));
  }
  if (DataType.isMap(type)) {
    const [, inner] = type.children[0]!.type.children;
    return Object.fromEntries(Array.from(value as Iterable<[string, unknown]>, ([key, one]) => [key, valueOf(arrow, inner!.type, one)]));
  }
  return value;
}

/** The words of a decimal, the lowest first, are a number in two's complement. */
function unscaledOf(words: Uint32Array): bigint {
  const unsigned = words.reduceRight((sum, word) => (sum << 32n) | BigInt(word), 0n);
  return BigInt.asIntN(32 * words.length, unsigned);
}
