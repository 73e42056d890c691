/** Records when a part of a step ran, attempt by attempt. */
import { mkdir, readFile, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { ifThere, writeAtomic } from '../store/files.ts';
import type { Span } from '../schemas/steps.ts';

/** Starts an attempt. Returns a function that ends it and returns the spans of all attempts. The file `path` holds them, so interrupted
 *  attempts count too: a killed attempt ended at its last write to `activityFile`. */
export async function beginSpan(path: string, activityFile: string): Promise<() => Promise<readonly Span[]>> {
  const lastWrite = Math.round((await ifThere(stat(activityFile)))?.mtimeMs ?? 0);
  const earlier = (await read(path)).map(({ began, ended }) => ({ began, ended: ended ?? Math.max(began, lastWrite) }));
  await mkdir(dirname(path), { recursive: true });
  const began = Date.now();
  const write = (ended: number | null) => writeAtomic(path, JSON.stringify([...earlier, { began, ended }]));
  await write(null);
  return async () => {
    const ended = Date.now();
    await write(ended);
    return [...earlier, { began, ended }];
  };
}

/** Empty if the file is missing or torn: then only the times are lost. */
async function read(path: string): Promise<readonly { readonly began: number; readonly ended: number | null }[]> {
  try {
    return JSON.parse(await readFile(path, 'utf8')) as [];
  } catch {
    return [];
  }
}

/** Seconds covered by at least one span. */
export function secondsOf(spans: readonly Span[]): number {
  let [milliseconds, until] = [0, 0];
  for (const { began, ended } of spans.toSorted((a, b) => a.began - b.began)) {
    milliseconds += Math.max(0, ended - Math.max(began, until));
    until = Math.max(until, ended);
  }
  return milliseconds / 1000;
}
