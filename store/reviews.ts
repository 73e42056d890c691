/** Keeps what people decide about records, one line for each decision, until a review is sent. */
import { open } from 'node:fs/promises';
import { dirname } from 'node:path';
import { verdict, type Verdict } from '../schemas/review.ts';
import { linesFrom, makeFolder, syncFolder, writing } from './files.ts';
import { pathsOf } from './paths.ts';
import type { Store } from './store.ts';

/** Is on the disk when it resolves. */
export async function addVerdict(store: Store, digest: string, decided: Verdict): Promise<void> {
  const path = pathsOf(store.root).review(digest);
  try {
    await makeFolder(dirname(path));
    const file = await open(path, 'a');
    try {
      await file.write(`\n${JSON.stringify(decided)}\n`); // the first newline ends a line that a kill has torn
      await file.sync();
    } finally {
      await file.close();
    }
    await syncFolder(dirname(path));
  } catch (error) {
    throw writing(path, error);
  }
}

/** By id of the record; the last decision counts. */
export function verdictsOf(store: Store, digest: string): ReadonlyMap<string, Verdict> {
  const { lines } = linesFrom(pathsOf(store.root).review(digest), 0);
  return new Map(
    lines.flatMap((line) => {
      const decided = verdict.safeParse(parsed(line));
      return decided.success ? [[decided.data.of, decided.data] as const] : [];
    }),
  );
}

/** Undefined for a torn line, which nobody was told was kept. */
function parsed(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}
