/** Arrow's IPC files and streams, as pyarrow writes them. */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { pythonOf } from '../../devices/python.ts';
import { table } from '../../sources/index.ts';
import { files, rowsOf } from '../support/reduce.ts';

/** Writes a table in every way to the folder that it is given. */
const writeArrow = `import sys, datetime, decimal, pyarrow as pa, pyarrow.ipc as ipc, pyarrow.feather as feather
folder = sys.argv[1]
table = pa.table({
    "id": pa.array([1, 2**53 + 1, None], pa.int64()),
    "score": pa.array([0.5, float("nan"), -1.0]),
    "at": pa.array([datetime.datetime(2026, 11, 29, 12), None, None]),
    "day": pa.array([datetime.date(2026, 11, 29), None, None]),
    "kind": pa.array(["a", "b", "a"]).dictionary_encode(),
    "price": pa.array([decimal.Decimal("1.25"), None, decimal.Decimal("-3.10")], pa.decimal128(9, 2)),
    "key": pa.array([decimal.Decimal(1990391500702712081), decimal.Decimal(7), None], pa.decimal128(38, 0)),
    "raw": pa.array([b"ab", None, b""]),
    "view": pa.array(["a", "a text that is longer than twelve bytes", None]).cast(pa.string_view()),
    "tags": pa.array([[("a", 1)], [], None], pa.map_(pa.string(), pa.int64())),
    "conversations": pa.array([[{"from": "human", "value": "a"}, {"from": "gpt", "value": "é"}], [], None]),
})
def write(name, new, packing=None):
    with new(f"{folder}/{name}", table.schema, options=ipc.IpcWriteOptions(compression=packing)) as writer:
        writer.write_table(table, max_chunksize=2)
for packing in (None, "zstd", "lz4"):
    write(f"file-{packing}.arrow", ipc.new_file, packing)
    write(f"stream-{packing}.arrow", ipc.new_stream, packing)
feather.write_feather(table, f"{folder}/two.feather")
encoded = pa.table({"of": pa.RunEndEncodedArray.from_arrays(pa.array([2], pa.int32()), pa.array(["a"]))})
with ipc.new_file(f"{folder}/type.arrow", encoded.schema) as writer: writer.write_table(encoded)`;
test('Arrow has the values that were written, in files and streams, and what cannot be read says so', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'backspin-arrow-'));
  execFileSync(pythonOf().python, ['-c', writeArrow, folder]);
  const none = { score: null, at: null, day: null, price: null, raw: null };
  const packings = ['None', 'zstd', 'lz4'].flatMap((packing) => [`file-${packing}.arrow`, `stream-${packing}.arrow`]);
  for (const name of [...packings, 'two.feather']) {
    const { rows } = await rowsOf(table, [join(folder, name)]);
    t.deepEqual(
      rows,
      [
        {
          id: 1,
          score: 0.5,
          at: '2026-11-29T12:00:00.000Z',
          day: '2026-11-29T00:00:00.000Z',
          kind: 'a',
          price: 1.25,
          key: '1990391500702712081',
          raw: 'YWI=',
          view: 'a',
          tags: { a: 1 },
          conversations: [
            { from: 'human', value: 'a' },
            { from: 'gpt', value: 'é' },
          ],
        },
        {
          ...none,
          id: '9007199254740993',
          kind: 'b',
          key: 7,
          view: 'a text that is longer than twelve bytes',
          tags: {},
          conversations: [],
        },
        { ...none, id: null, score: -1, kind: 'a', price: -3.1, key: null, raw: '', view: null, tags: null, conversations: null },
      ],
      name,
    );
  }
  const refused = async (path: string, why: RegExp) => {
    const { message } = await t.throwsAsync(rowsOf(table, [path]));
    t.regex(message, why);
    t.regex(message, /cannot be read as Arrow \(.*\): fetch it again, or write it anew, or set onInvalid/);
  };
  for (const name of ['file', 'stream']) {
    const whole = readFileSync(join(folder, `${name}-None.arrow`));
    const [cut, short] = await files({ 'cut.arrow': whole.subarray(0, -8), 'short.arrow': whole.subarray(0, 3) });
    await refused(cut!, /its end is missing/);
    await refused(short!, /its end is missing/);
  }
  await refused(join(folder, 'type.arrow'), /RunEndEncoded/);
  await refused((await files({ 'a.feather': 'FEA1 of old FEA1' }))[0]!, /it is Feather of version 1/);
});
