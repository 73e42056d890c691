/** Filters over the records of a step in the page of `backspin ui`: a million rows, and the memory of the process that answers. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pageOf, type Filter } from '../experiments/tables/page.ts';
import { recordId } from '../schemas/canonical.ts';
import { openStore } from '../store/local.ts';
import { rounded, type Bound, type Result, type Row } from './support.ts';

/** Seconds in which each page must be there. */
const SECONDS = 2;

/** `middle`: whether the page is in the middle of all. */
const filters: readonly (readonly [name: string, filter: Filter, middle?: boolean])[] = [
  ['first page', {}],
  ['a page in the middle', {}, true],
  ['a score range', { field: 'score', least: 4.5, most: 5 }],
  ['sorted by score', { sort: '-score' }],
  ['a text in any field', { text: 'about 777 ' }],
  ['a text, a range and an order', { text: 'rivers', field: 'score', least: 3, sort: 'score' }],
];

export async function records({ count = 1_000_000 } = {}): Promise<Result> {
  const folder = await mkdtemp(join(tmpdir(), 'backspin-bench-records-'));
  try {
    const store = await openStore(join(folder, 'store'));
    const writer = store.write('records');
    for (let n = 0; n < count; n++) {
      const value = {
        instruction: `What should one know about ${n} of the rivers and towns in this region?`,
        response: `They flow about ${n} miles through hills, past mills and markets, and end in the sea where ships wait for cargo.`,
        score: ((n * 7919) % 41) / 10 + 1,
      };
      await writer.add({ id: recordId(value, []), from: [], value });
    }
    const ref = await writer.commit('exact');
    const table = { label: 'records', ref, layout: 'records' as const };
    const timed = async (filter: Filter, from: number) => {
      const [began, used] = [performance.now(), process.cpuUsage()];
      const { total } = await pageOf(store, table, filter, from, 50);
      const { user, system } = process.cpuUsage(used);
      return { seconds: rounded((performance.now() - began) / 1000), cpuSeconds: rounded((user + system) / 1e6), total };
    };
    const once = await timed({}, 0); // makes the table, once for all pages
    const rows: Row[] = [];
    const bounds: Bound[] = [];
    for (const [name, filter, middle = false] of filters) {
      const { seconds, cpuSeconds, total } = await timed(filter, middle ? count / 2 : 0);
      rows.push({
        round: 0,
        arm: name,
        rows: count,
        found: total,
        seconds,
        cpuSeconds,
        peakMegabytes: Math.round(process.resourceUsage().maxRSS / 1024),
      });
      bounds.push({ what: `seconds, ${name}`, is: seconds, atMost: SECONDS });
    }
    rows.unshift({
      round: 0,
      arm: 'the table, made once',
      rows: count,
      found: once.total,
      seconds: once.seconds,
      cpuSeconds: once.cpuSeconds,
      peakMegabytes: null,
    });
    return { rows, bounds };
  } finally {
    await rm(folder, { recursive: true });
  }
}
