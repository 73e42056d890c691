/** Plain text for people: tables, durations, sizes. */
import { padded, shown, shownJson, widthOf } from './terminal.ts';

/** Columns as wide as they need; numbers to the right. */
export function table(head: readonly string[], rows: readonly (readonly (string | number | null)[])[]): string {
  const cells = rows.map((row) =>
    row.map((cell) => (typeof cell === 'number' ? number(cell) : shown((cell ?? '').replaceAll(/[\n\t]/g, ' ')))),
  );
  const widths = head.map((title, i) => Math.max(widthOf(title), ...cells.map((row) => widthOf(row[i]!))));
  const right = head.map((_, i) => rows.some((row) => typeof row[i] === 'number'));
  const line = (row: readonly string[]) =>
    row
      .map((cell, i) => padded(cell, widths[i]!, right[i] ? 'left' : 'right'))
      .join('  ')
      .trimEnd();
  return [line(head), ...cells.map(line)].join('\n');
}

/** Whole numbers with commas; others with three decimals. */
export const number = (x: number): string => (Number.isInteger(x) ? x.toLocaleString('en-US') : x.toFixed(3));

export function duration(seconds: number): string {
  if (seconds < 60) return `${seconds.toFixed(seconds < 10 ? 1 : 0)} s`;
  const minutes = Math.floor(seconds / 60);
  return minutes < 60 ? `${minutes} min ${Math.floor(seconds % 60)} s` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

export function size(bytes: number): string {
  const units = ['B', 'KB', 'MB', 'GB', 'TB'];
  const power = bytes === 0 ? 0 : Math.min(units.length - 1, Math.floor(Math.log10(bytes) / 3));
  return `${(bytes / 1000 ** power).toFixed(power < 2 ? 0 : 1)} ${units[power]}`;
}

/** `12 no-score, 3 too-long`; the most frequent first. */
export const dropped = (reasons: Readonly<Record<string, number>>): string =>
  Object.entries(reasons)
    .toSorted(([, a], [, b]) => b - a)
    .map(([reason, count]) => `${number(count)} ${reason}`)
    .join(', ');

/** `"Score: 6" (12), "I pass." (3)`. */
export const unreadEndings = (unread: readonly { readonly ending: string; readonly count: number }[], most: number): string =>
  unread
    .slice(0, most)
    .map(({ ending, count }) => `${JSON.stringify(ending)} (${number(count)})`)
    .join(', ');

export const printJson = (value: unknown): void => void process.stdout.write(`${shownJson(JSON.stringify(value, null, 2))}\n`);
