/** How many records of a step are done, and what their answers cost, read from what its batches write: by whatever process, and while they do. */
import { open, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { ifThere } from '../store/files.ts';

/** Of a batch. */
interface Count {
  readonly records: number;
  readonly tokens: number;
  readonly attempts: number;
}
const none: Count = { records: 0, tokens: 0, attempts: 0 };
const sum = (a: Count, b: Count): Count => ({
  records: a.records + b.records,
  tokens: a.tokens + b.tokens,
  attempts: a.attempts + b.attempts,
});

/** What has ended is counted once, by its totals, and never looked at again; of what is under way only what is new is read. So a look costs
 *  the same in the millionth record as in the thousandth, but for the names in the folder. */
export class JournalCounter {
  readonly #folder: string;
  readonly #ended = new Set<string>();
  #endedCount = none;
  readonly #open = new Map<string, Count & { readonly end: number }>();

  /** `folder` holds the batches of a step under one of its starts. */
  constructor(folder: string) {
    this.#folder = folder;
  }

  /** Finished. */
  get records(): number {
    return this.#count.records;
  }
  /** Of all answered calls. */
  get tokens(): number {
    return this.#count.tokens;
  }
  /** Of finished records. */
  get attempts(): number {
    return this.#count.attempts;
  }
  get #count(): Count {
    return [...this.#open.values()].reduce(sum, this.#endedCount);
  }

  /** False where nothing has begun, or all is over. */
  async look(): Promise<boolean> {
    const names = await ifThere(readdir(this.#folder));
    if (!names) return false;
    for (const name of names) {
      if (!name.endsWith('.jsonl')) continue;
      const batch = name.slice(0, -'.jsonl'.length);
      if (this.#ended.has(batch)) continue;
      const totals = await totalsOf(join(this.#folder, `${batch}.json`));
      if (!totals) await this.#grow(batch, join(this.#folder, name));
      else {
        this.#open.delete(batch);
        this.#ended.add(batch);
        this.#endedCount = sum(this.#endedCount, totals);
      }
    }
    return true;
  }

  async #grow(batch: string, journal: string): Promise<void> {
    const before = this.#open.get(batch) ?? { ...none, end: 0 };
    const size = (await ifThere(stat(journal)))?.size ?? 0;
    if (size <= before.end) return;
    const bytes = await part(journal, before.end, size - before.end);
    const end = bytes.lastIndexOf(0x0a) + 1;
    this.#open.set(batch, { ...sum(before, countIn(bytes.subarray(0, end))), end: before.end + end });
  }
}

/** Bytes within which a result tells its totals, unless there were very many attempts. */
const HEAD = 4096;
/** Of a batch that was done to its end: one that its budget has cut goes on under a larger. */
async function totalsOf(result: string): Promise<Count | undefined> {
  const head = (await part(result, 0, HEAD)).toString('latin1');
  const found = /"totals":\{"batch":\d+,"in":(\d+),[^[]*"tokens":(\d+),(?:"attempts":(\d+),)?"spans":\[[^\]]*\],"spent":null\}/.exec(head);
  return found ? { records: Number(found[1]), tokens: Number(found[2]), attempts: Number(found[3] ?? 0) } : undefined;
}

/** Lines are told apart by their beginning and their end: what a model said is long. */
function countIn(lines: Buffer): Count {
  let [records, tokens, attempts] = [0, 0, 0];
  for (let at = 0, end; at < lines.length; at = end + 1) {
    end = lines.indexOf(0x0a, at);
    const spent = /"tokens":(\d+)\}$/.exec(lines.toString('latin1', Math.max(at, end - 32), end));
    if (spent) {
      tokens += Number(spent[1]);
      continue;
    }
    const done = /^\{"r":"[^"]*",(?:"attempts":(\d+),)?"done":\{/.exec(lines.toString('latin1', at, Math.min(end, at + 128)));
    if (done) [records, attempts] = [records + 1, attempts + Number(done[1] ?? 0)];
  }
  return { records, tokens, attempts };
}

/** Nothing where the file is gone. */
async function part(path: string, from: number, length: number): Promise<Buffer> {
  const file = await ifThere(open(path));
  if (!file) return Buffer.alloc(0);
  try {
    const { buffer, bytesRead } = await file.read(Buffer.allocUnsafe(length), 0, length, from);
    return buffer.subarray(0, bytesRead);
  } finally {
    await file.close();
  }
}
