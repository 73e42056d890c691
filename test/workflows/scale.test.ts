import test from 'ava';
import { load } from '../support/load.ts';

const RECORDS = 100_000;

test('100,000 records through real stages: each worker stays under 600 MB, each run under 4,096 events, no record is lost', async (t) => {
  t.timeout(1_200_000);
  const on = await load();
  try {
    const { data } = await on.run({ records: RECORDS, slots: 64 });
    t.is(data.rows, RECORDS);
    const { served } = await on.count();
    t.true(served >= RECORDS && served <= RECORDS + 10, `${served} requests for ${RECORDS} records`);
    for (const [kind, megabytes] of Object.entries(await on.peaks())) {
      t.log(`${kind}: ${megabytes} MB`);
      // The data worker 200, 80 more for each of four threads, and what is garbage; `bench -- scale` sees whether it grows.
      t.true(megabytes < 600, `the ${kind} worker took ${megabytes} MB`);
    }
    const events = await on.longest();
    t.true(events < 4096, `the longest history has ${events} events`);
  } finally {
    await on.close();
  }
});
