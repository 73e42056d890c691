/** Compares a map with the capacity of its model server: `throughput` for answers of equal duration, `lognormal` for answers of very
 *  different length, `storm` for a server that refuses requests. The ideal keeps every slot of the server busy until no request is left. */
import { load, type Job } from '../test/support/load.ts';
import type { Count, Speed } from '../test/support/mock-model.ts';
import { ask } from './ask.ts';
import { peer } from './peers.ts';
import { rounded, type Result } from './support.ts';

const SLOTS = 256;
/** Characters of each reply. */
const characters = 1000;

interface Measured {
  readonly seconds: number;
  /** The used share of the server's capacity in that time. */
  readonly share: number;
  readonly row: object;
}
/** A client's use of a server, from the server's counts before and after. */
function measured(who: string, speed: Speed, before: Count, after: Count, seconds: number): Measured {
  const [requests, refused] = [after.served - before.served, after.refused - before.refused];
  const ideal = (after.worked - before.worked) / 1000 / speed.slots!;
  const row = { who, 'milliseconds an answer': speed.milliseconds, requests, refused, seconds: rounded(seconds), ideal: rounded(ideal) };
  return {
    seconds,
    share: ideal / seconds,
    row: { ...row, share: rounded(ideal / seconds, 3), 'requests a second': Math.round(requests / seconds) },
  };
}

/** Runs an experiment on a server of its own. `warmUp`: records of a run before the measured one, so that workers have loaded their code, as
 *  those of `up` have. */
async function experiment(speed: Speed, job: Job, warmUp = 0): Promise<Measured & { readonly lost: number; readonly counts: Count }> {
  const on = await load(speed);
  try {
    if (warmUp > 0) await on.run({ ...job, records: warmUp });
    const before = await on.count();
    const { data, seconds } = await on.run(job);
    const counts = await on.count();
    return { ...measured('backspin', speed, before, counts, seconds), lost: job.records - data.rows, counts };
  } finally {
    await on.close();
  }
}

/** The share of the records that each peer gets. */
const PEERS: Readonly<Record<string, number>> = { curator: 0.2, distilabel: 0.2, dbos: 0.02 };

/** Runs two steps over the records, one request per record each, with a commit in between; next to it a loop that only sends requests,
 *  and other programs for such jobs. */
export async function throughput({ records = 50_000, latencies = [250, 100, 50], peers = PEERS } = {}): Promise<Result> {
  const speeds = latencies.map((milliseconds) => ({ slots: SLOTS, milliseconds, characters }) satisfies Speed);
  const rows: object[] = [];
  const shares: number[] = [];
  for (const speed of speeds) {
    const { row, share } = await experiment(speed, { records, steps: 2, slots: SLOTS }, 1_000);
    shares.push(share);
    const others = await beside(speed, records, speed === speeds[0] ? peers : {});
    rows.push(row, ...others);
  }
  return { rows, bounds: [{ what: `share of the ideal at ${latencies[0]} ms`, is: rounded(shares[0]!, 3), atLeast: 0.85 }] };
}

async function beside(speed: Speed, records: number, peers: typeof PEERS): Promise<object[]> {
  const on = await load(speed);
  try {
    const rows: object[] = [];
    const asked = async (who: string, run: () => Promise<number | string>) => {
      const before = await on.count();
      const seconds = await run();
      rows.push(
        typeof seconds === 'string' ? { who, 'not measured': seconds } : measured(who, speed, before, await on.count(), seconds).row,
      );
    };
    const requests = Array.from({ length: 2 * records }, (_, n) => ({ model: 'mock', messages: [{ role: 'user', content: `say ${n}` }] }));
    await asked('a bare loop', () => ask({ url: on.url, key: 'key' }, requests, 1.25 * SLOTS).then(({ seconds }) => seconds));
    for (const [name, share] of Object.entries(peers)) await asked(name, () => peer(name, on.url, share * records));
    return rows;
  } finally {
    await on.close();
  }
}

/** Half of the answers take more than 150 ms, one in a hundred more than 1.5 s. */
export async function lognormal({ records = 10_000, milliseconds = 150 } = {}): Promise<Result> {
  const { row, share, lost } = await experiment({ slots: SLOTS, milliseconds, sigma: 1, characters }, { records, slots: SLOTS });
  return {
    rows: [row],
    bounds: [
      { what: 'times the ideal', is: rounded(1 / share), atMost: 1.5 },
      { what: 'records lost', is: lost, atMost: 0 },
    ],
  };
}

/** An external server of unknown capacity: 64 slots, but only 8 for the first two of every ten seconds. It refuses all further
 *  requests. */
export async function storm({ records = 10_000, milliseconds = 250, every = 10_000, lasts = 2_000 } = {}): Promise<Result> {
  const speed = { slots: 64, milliseconds, storm: { every, lasts, slots: 8 } };
  const { row, lost, counts } = await experiment(speed, { records, inFlight: SLOTS });
  return {
    rows: [row],
    bounds: [
      { what: 'times the ideal', is: rounded(counts.offered / counts.worked), atMost: 1.5 },
      { what: 'requests for one that is answered', is: rounded((counts.served + counts.refused) / counts.served), atMost: 1.3 },
      { what: 'records lost', is: lost, atMost: 0 },
    ],
  };
}
