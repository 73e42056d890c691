/** Keeps which experiments a sweep has. */
import { readdir, readFile } from 'node:fs/promises';
import { sweepRecord, type SweepRecord } from '../schemas/sweep.ts';
import { ifThere, writeAtomic } from './files.ts';
import { pathsOf } from './paths.ts';
import type { Store } from './store.ts';

export async function putSweep(store: Store, sweep: SweepRecord): Promise<void> {
  const paths = pathsOf(store.root);
  await writeAtomic(paths.sweep(sweep.name), JSON.stringify(sweep), paths.temporary);
}

export async function sweepOf(store: Store, name: string): Promise<SweepRecord | undefined> {
  const text = await ifThere(readFile(pathsOf(store.root).sweep(name), 'utf8'));
  return text === undefined ? undefined : sweepRecord.parse(JSON.parse(text));
}

export async function sweepNames(store: Store): Promise<readonly string[]> {
  const files = (await ifThere(readdir(pathsOf(store.root).sweeps))) ?? [];
  return files.filter((file) => file.endsWith('.json')).map((file) => file.slice(0, -'.json'.length));
}
