/** Keeps which experiments a sweep has. */
import { basename } from 'node:path';
import { sweepRecord, type SweepRecord } from '../schemas/sweep.ts';
import type { Store } from './store.ts';

export async function putSweep({ blobs }: Store, sweep: SweepRecord): Promise<void> {
  await blobs.write(blobs.paths.sweep(sweep.name), JSON.stringify(sweep));
}

export async function sweepOf({ blobs }: Store, name: string): Promise<SweepRecord | undefined> {
  const text = await blobs.read(blobs.paths.sweep(name));
  return text === undefined ? undefined : sweepRecord.parse(JSON.parse(text.toString()));
}

export async function sweepNames({ blobs }: Store): Promise<readonly string[]> {
  const files = (await blobs.list(blobs.paths.sweeps)).map(({ path }) => basename(path));
  return files.filter((file) => file.endsWith('.json')).map((file) => file.slice(0, -'.json'.length));
}
