/** Controls a faulty server through two files of a home: the test's settings and the server's counts. */
import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

export const troubles = [
  'connection refused',
  'connection reset',
  'black hole',
  'slow body',
  '429',
  '429 with Retry-After',
  '500',
  'malformed JSON',
  'truncated body',
] as const;
export type Trouble = (typeof troubles)[number];

export interface Control {
  readonly trouble: Trouble | null;
  /** Ids of records whose requests the server always refuses. */
  readonly poisoned: readonly string[];
  /** Status of refusals. Default: 400. */
  readonly status?: number;
  /** A server that starts now exits with this sentence. */
  readonly refuses?: string;
}

export const controlIn = (home: string): string => join(home, 'trouble.json');
export const spoiltIn = (home: string): string => join(home, 'spoilt.jsonl');

export function make(home: string, control: Control): void {
  writeFileSync(`${controlIn(home)}.partial`, JSON.stringify(control));
  renameSync(`${controlIn(home)}.partial`, controlIn(home));
}
/** The number of disturbed requests so far. */
export function spoilt(home: string): number {
  try {
    return readFileSync(spoiltIn(home), 'utf8').split('\n').length - 1;
  } catch {
    return 0;
  }
}
