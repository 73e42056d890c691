/** What came of each cell of the matrix, kept in a file, and the table that `docs/reliability.md` has of it. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { root } from '../cli/cli.ts';
import { matrix, nameOf, type Cell } from './matrix.ts';
import { phases } from './spots.ts';
import type { Outcome } from './run.ts';

/** A cell was tried in a run of the miniature. */
export interface Trial {
  readonly at: string;
  /** Seconds from the end of the fault until something went on; null where the fault is there all the time. */
  readonly seconds: number | null;
  /** What of that run did not hold. */
  readonly broken: readonly string[];
}
export type Results = { readonly [cell: string]: readonly Trial[] };

const FILE = join(import.meta.dirname, 'results.json');
const PAGE = join(root, 'docs/reliability.md');
/** Trials of each cell that are kept. */
const KEPT = 2;

export const results = (): Results => JSON.parse(readFileSync(FILE, 'utf8')) as Results;

/** Adds those of a run; the oldest of each cell go. */
export function keep({ tried, broken }: Pick<Outcome, 'tried' | 'broken'>): void {
  const at = new Date().toISOString();
  const now = tried.map(
    ({ cell, recovery }) => [nameOf(cell), { at, seconds: recovery && Number(recovery.progress.toFixed(1)), broken }] as const,
  );
  const before = results();
  const all = { ...before, ...Object.fromEntries(now.map(([cell, trial]) => [cell, [...(before[cell] ?? []), trial].slice(-KEPT)])) };
  writeFileSync(FILE, `${JSON.stringify(all, null, 1)}\n`);
}

/** Whether both of its trials did. */
export function passed(cell: Cell): boolean {
  const trials = results()[nameOf(cell)] ?? [];
  return trials.length === KEPT && trials.every(({ broken }) => broken.length === 0);
}

/** A row for each fault of each part, a column for each phase: the longer time of a cell's two trials. */
export function table(of: Results): string {
  const rows = [...Map.groupBy(matrix, ({ part, fault }) => `${part} | ${fault}`)].map(([head, cells]) => {
    const at = (phase: string) => cells.find((cell) => cell.phase === phase);
    return `| ${head} | ${phases.map((phase) => said(of, at(phase))).join(' | ')} |`;
  });
  return [`| part | fault | ${phases.join(' | ')} |`, `|---|---|${phases.map(() => '--:|').join('')}`, ...rows].join('\n');
}
function said(of: Results, cell: Cell | undefined): string {
  if (!cell) return '';
  const trials = of[nameOf(cell)] ?? [];
  if (trials.length < KEPT) return 'not tried';
  if (trials.some(({ broken }) => broken.length > 0)) return 'failed';
  const seconds = trials.map((trial) => trial.seconds);
  return seconds.includes(null) ? 'held' : `${Math.max(...(seconds as number[])).toFixed(1)}`;
}

const [BEGIN, END] = ['<!-- made by npm run test:faults -->', '<!-- end -->'];
/** What stands before the table of the page, the table, and what stands behind it. */
function page(): readonly [string, string, string] {
  const text = readFileSync(PAGE, 'utf8');
  const [from, to] = [text.indexOf(BEGIN) + BEGIN.length, text.indexOf(END)];
  return [text.slice(0, from), text.slice(from, to).trim(), text.slice(to)];
}
export const tableOfPage = (): string => page()[1];
export function writePage(): void {
  const [before, , behind] = page();
  writeFileSync(PAGE, `${before}\n\n${table(results())}\n\n${behind}`);
}
