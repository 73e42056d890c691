/** Keeps a run folder for resuming only if the rows are still the same. */
import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { SubprocessSpec } from '../schemas/trainer.ts';
import { digestOf } from '../store/digests.ts';
import { ifThere, writeAtomic } from '../store/files.ts';

/** Clears the folder where an earlier attempt was given other rows: by other code, under the same key. True where it did. */
export async function clearIfRowsChanged({ run }: Pick<SubprocessSpec, 'run'>): Promise<boolean> {
  const note = join(run, 'rows.sha256');
  const rows = await digestOf(join(run, 'rows.jsonl'));
  const before = await ifThere(readFile(note, 'utf8'));
  if (before === rows) return false;
  if (before) {
    await rm(run, { recursive: true });
    return true;
  }
  await writeAtomic(note, rows);
  return false;
}
