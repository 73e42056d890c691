/** `scale`: memory and history of a map from 1,000 to 1,000,000 records, on a model server that answers at once. */
import { load } from '../test/support/load.ts';
import { rounded, type Result } from './support.ts';

const SLOTS = 64;

export async function scale({ sizes = [1_000, 10_000, 100_000, 1_000_000] } = {}): Promise<Result> {
  const rows: Mapped[] = [];
  for (const records of sizes) rows.push(await mapped(records));
  const [before, last] = rows.slice(-2) as [Mapped, Mapped];
  const most = (of: (row: Mapped) => number) => Math.max(...rows.map(of));
  return {
    rows,
    bounds: [
      { what: 'MB of a worker', is: most(({ orchestrator, data, pool }) => Math.max(orchestrator, data, pool)), atMost: 400 },
      { what: 'events of a run', is: most(({ events }) => events), atMost: 4096 },
      { what: 'times the seconds a record of a tenth of the records', is: rounded(last.microseconds / before.microseconds), atMost: 1.2 },
      { what: 'times the memory of a tenth of the records', is: rounded(last.pool / before.pool), atMost: 1.2 },
      { what: 'records lost', is: most(({ lost }) => lost), atMost: 0 },
    ],
  };
}

interface Mapped {
  readonly records: number;
  readonly seconds: number;
  /** Of a record. */
  readonly microseconds: number;
  /** MB, the most so far. */
  readonly orchestrator: number;
  readonly data: number;
  readonly pool: number;
  /** Of the longest history. */
  readonly events: number;
  readonly lost: number;
}

async function mapped(records: number): Promise<Mapped> {
  const on = await load();
  try {
    const { data, seconds } = await on.run({ records, slots: SLOTS });
    const microseconds = Math.round((seconds * 1e6) / records);
    return {
      records,
      seconds: rounded(seconds),
      microseconds,
      ...(await on.peaks()),
      events: await on.longest(),
      lost: records - data.rows,
    };
  } finally {
    await on.close();
  }
}
