/** `scale`: measures memory, history and event loops of a map over 1,000 to 1,000,000 records (on an instant model server, under a
 *  budget, with `watch`), and of an experiment of 200 rounds of 10 steps, also with `watch`. */
import { load, type Load } from '../test/support/load.ts';
import { rounded, type Result } from './support.ts';

const SLOTS = 64;
const KINDS = ['orchestrator', 'data', 'pool'] as const;

export async function scale({ sizes = [1_000, 10_000, 100_000, 1_000_000], rounds = 200, steps = 10 } = {}): Promise<Result> {
  const many = await crowded(rounds, steps);
  const rows: Mapped[] = [];
  for (const records of sizes) rows.push(await mapped(records));
  const [before, last] = rows.slice(-2) as [Mapped, Mapped];
  const most = (of: (row: Mapped) => number) => Math.max(...rows.map(of));
  const all = [many, ...rows];
  return {
    rows: all,
    bounds: [
      {
        what: 'MB of a worker',
        is: Math.max(...all.flatMap((row) => KINDS.map((kind) => row[kind]))),
        atMost: 600,
      },
      { what: 'events of a run', is: Math.max(...all.map(({ events }) => events)), atMost: 4096 },
      { what: 'milliseconds that an event loop is held, p99', is: Math.max(...all.map(({ held }) => held)), atMost: 100 },
      { what: 'times the seconds a record of a tenth of the records', is: rounded(last.microseconds / before.microseconds), atMost: 1.2 },
      {
        what: 'times the memory of a tenth of the records, but for the data worker',
        is: rounded(Math.max(last.orchestrator / before.orchestrator, last.pool / before.pool)),
        atMost: 1.2,
      },
      // The data worker keeps the ids of all records that it has read, to drop duplicates.
      {
        what: 'bytes a record that the data worker takes more',
        is: Math.round(((last.data - before.data) * 1e6) / (last.records - before.records)),
        atMost: 250,
      },
      { what: 'records lost', is: most(({ lost }) => lost), atMost: 0 },
    ],
  };
}

interface Measured {
  readonly seconds: number;
  /** Peak MB so far. */
  readonly orchestrator: number;
  readonly data: number;
  readonly pool: number;
  /** Events of the longest history. */
  readonly events: number;
  /** 99th percentile of event loop delay in milliseconds, of the worst worker. */
  readonly held: number;
}
interface Mapped extends Measured {
  readonly records: number;
  /** Time per record. */
  readonly microseconds: number;
  readonly lost: number;
}

const measured = async (on: Load) => ({
  ...(await on.peaks()),
  events: await on.longest(),
  held: Math.max(...Object.values(await on.delays())),
});

async function crowded(rounds: number, steps: number): Promise<Measured & { readonly steps: number }> {
  const on = await load();
  try {
    const { seconds } = await on.crowd(rounds, steps);
    return { steps: rounds * steps, seconds: rounded(seconds), ...(await measured(on)) };
  } finally {
    await on.close();
  }
}

async function mapped(records: number): Promise<Mapped> {
  const on = await load();
  try {
    const { data, seconds } = await on.run({ records, slots: SLOTS, budget: Number.MAX_SAFE_INTEGER, watched: true });
    const microseconds = Math.round((seconds * 1e6) / records);
    return {
      records,
      seconds: rounded(seconds),
      microseconds,
      ...(await measured(on)),
      lost: records - data.rows,
    };
  } finally {
    await on.close();
  }
}
