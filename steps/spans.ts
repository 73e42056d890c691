/** When a part of a step was worked on, attempt after attempt. */
import { mkdir, readFile, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { ifThere, writeAtomic } from '../store/files.ts';
import type { Span } from '../schemas/steps.ts';

/**
 * Begins an attempt, and gives what ends it, with the spans of all so far. They are in the file `path`, so that an attempt that stopped or
 * was killed counts too: one that was killed ended when it last wrote to the file `sign`.
 */
export async function beginSpan(path: string, sign: string): Promise<() => Promise<readonly Span[]>> {
  const seen = Math.round((await ifThere(stat(sign)))?.mtimeMs ?? 0);
  const earlier = (await read(path)).map(({ began, ended }) => ({ began, ended: ended ?? Math.max(began, seen) }));
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

/** None where there is no whole file: it is no more than a clock. */
async function read(path: string): Promise<readonly { readonly began: number; readonly ended: number | null }[]> {
  try {
    return JSON.parse(await readFile(path, 'utf8')) as [];
  } catch {
    return [];
  }
}

/** Seconds that at least one of the spans covers. */
export function secondsOf(spans: readonly Span[]): number {
  let [milliseconds, until] = [0, 0];
  for (const { began, ended } of spans.toSorted((a, b) => a.began - b.began)) {
    milliseconds += Math.max(0, ended - Math.max(began, until));
    until = Math.max(until, ended);
  }
  return milliseconds / 1000;
}
