/** Counts the finished records, tokens and attempts of a running step from the files of its batches, whichever process writes them. */
import { open, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { addUses, type TokenUses } from '../schemas/steps.ts';
import { ifThere } from '../store/files.ts';

/** Counts of one batch. */
interface Count {
  readonly records: number;
  readonly tokens: number;
  readonly attempts: number;
  /** By role. */
  readonly uses: TokenUses;
}
const none: Count = { records: 0, tokens: 0, attempts: 0, uses: {} };
const sum = (a: Count, b: Count): Count => ({
  records: a.records + b.records,
  tokens: a.tokens + b.tokens,
  attempts: a.attempts + b.attempts,
  uses: addUses(a.uses, b.uses),
});

/** Counts a finished batch once, by its totals. Of an open batch it reads only new lines. So the cost of a look does not grow with the
 *  records. */
export class JournalCounter {
  readonly #folder: string;
  readonly #ended = new Set<string>();
  #endedCount = none;
  readonly #open = new Map<string, Count & { readonly end: number }>();

  /** `folder` holds the step's batches of one start. */
  constructor(folder: string) {
    this.#folder = folder;
  }

  /** Finished records. */
  get records(): number {
    return this.#count.records;
  }
  /** Tokens of all replies. */
  get tokens(): number {
    return this.#count.tokens;
  }
  /** Attempts of finished records. */
  get attempts(): number {
    return this.#count.attempts;
  }
  /** Requests and tokens by role. */
  get uses(): TokenUses {
    return this.#count.uses;
  }
  get #count(): Count {
    return [...this.#open.values()].reduce(sum, this.#endedCount);
  }

  /** Returns false if the folder does not exist: the step has not begun, or is committed. */
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
    const bytes = await readRange(journal, before.end, size - before.end);
    const end = bytes.lastIndexOf(0x0a) + 1;
    this.#open.set(batch, { ...sum(before, countIn(bytes.subarray(0, end))), end: before.end + end });
  }
}

/** The totals of a result are within these bytes, unless the batch had very many attempts. */
const HEAD_BYTES = 4096;
/** Totals of a finished batch. Undefined for one that a budget has cut: it continues under a larger budget. */
async function totalsOf(result: string): Promise<Count | undefined> {
  const head = (await readRange(result, 0, HEAD_BYTES)).toString('latin1');
  const match = /"totals":\{"batch":\d+,"in":(\d+),[^[]*"tokens":(\d+),(?:"attempts":(\d+),)?"spans":\[[^\]]*\],"spent":null\}/.exec(head);
  const [, uses = '{}'] = /"uses":(\{(?:"[^"]*":\{[^}]*\},?)*\})/.exec(head) ?? [];
  return match
    ? { records: Number(match[1]), tokens: Number(match[2]), attempts: Number(match[3] ?? 0), uses: JSON.parse(uses) as TokenUses }
    : undefined;
}

/** Recognizes lines by their start and end, because a reply in between may be long. */
function countIn(lines: Buffer): Count {
  let [records, tokens, attempts] = [0, 0, 0];
  const uses: Record<string, { requests: number; read: number; written: number }> = {};
  for (let at = 0, end; at < lines.length; at = end + 1) {
    end = lines.indexOf(0x0a, at);
    const spent = /(?:"role":"([^"]*)","written":(\d+),)?"tokens":(\d+)\}$/.exec(lines.toString('latin1', Math.max(at, end - 128), end));
    if (spent) {
      const [, role, written, all] = spent;
      tokens += Number(all);
      if (role !== undefined) {
        const use = (uses[role] ??= { requests: 0, read: 0, written: 0 });
        use.requests++;
        use.read += Number(all) - Number(written);
        use.written += Number(written);
      }
      continue;
    }
    const done = /^\{"r":"[^"]*",(?:"attempts":(\d+),)?"done":\{/.exec(lines.toString('latin1', at, Math.min(end, at + 128)));
    if (done) [records, attempts] = [records + 1, attempts + Number(done[1] ?? 0)];
  }
  return { records, tokens, attempts, uses };
}

/** Empty if the file does not exist. */
async function readRange(path: string, from: number, length: number): Promise<Buffer> {
  const file = await ifThere(open(path));
  if (!file) return Buffer.alloc(0);
  try {
    const { buffer, bytesRead } = await file.read(Buffer.allocUnsafe(length), 0, length, from);
    return buffer.subarray(0, bytesRead);
  } finally {
    await file.close();
  }
}
