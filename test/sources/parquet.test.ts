/** Parquet files as pyarrow writes them. */
import { execFileSync } from 'node:child_process';
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { pythonOf } from '../../devices/python.ts';
import { table } from '../../sources/index.ts';
import { files, rowsOf } from '../support/reduce.ts';

test('Parquet has the values that were written, whatever packs it', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'backspin-parquet-'));
  const make = `import sys, datetime, pyarrow as pa, pyarrow.parquet as pq
from decimal import Decimal
table = pa.table({
    "id": pa.array([1, 2**53 + 1, None], pa.int64()),
    "score": pa.array([0.5, float("nan"), -1.0]),
    "at": pa.array([datetime.datetime(2026, 11, 29, 12), None, None]),
    "price": pa.array([Decimal("12.3400"), Decimal("-0.0007"), None], pa.decimal128(30, 4)),
    "key": pa.array([Decimal(1990391500702712081), Decimal(1990391500702712082), Decimal(-70)], pa.decimal128(38, 0)),
    "costs": pa.array([[{"sum": Decimal("1.5")}], [], None], pa.list_(pa.struct([("sum", pa.decimal128(9, 2))]))),
    "by": pa.array([[("a", Decimal("0.10"))], [], None], pa.map_(pa.string(), pa.decimal256(50, 2))),
    "bytes": pa.array(["é".encode(), b"\\x00\\xff", None], pa.binary()),
    "conversations": pa.array([[{"from": "human", "value": "a"}, {"from": "gpt", "value": "é"}], [], None]),
})
for packing in ("none", "snappy", "gzip", "zstd", "brotli"):
    pq.write_table(table, f"{sys.argv[1]}/{packing}.parquet", compression=packing, row_group_size=2)`;
  execFileSync(pythonOf().python, ['-c', make, folder]);
  for (const packing of ['none', 'snappy', 'gzip', 'zstd', 'brotli']) {
    const { rows } = await rowsOf(table, [join(folder, `${packing}.parquet`)]);
    t.deepEqual(
      rows,
      [
        {
          id: 1,
          score: 0.5,
          at: '2026-11-29T12:00:00.000Z',
          price: 12.34,
          key: '1990391500702712081',
          costs: [{ sum: 1.5 }],
          by: { a: 0.1 },
          bytes: 'é',
          conversations: [
            { from: 'human', value: 'a' },
            { from: 'gpt', value: 'é' },
          ],
        },
        {
          id: '9007199254740993',
          score: null,
          at: null,
          price: -0.0007,
          key: '1990391500702712082',
          costs: [],
          by: {},
          bytes: 'AP8=',
          conversations: [],
        },
        { id: null, score: -1, at: null, price: null, key: -70, costs: null, by: null, bytes: null, conversations: null },
      ],
      packing,
    );
  }
  await t.throwsAsync(rowsOf(table, await files({ 'a.parquet': 'PAR1 rubbish' })), {
    message: /a\.parquet cannot be read as Parquet \(.*\): fetch it again, or write it anew/,
  });
});
