/** Formats tables, lists and JSON for people. */
import { number } from '../../schemas/units.ts';
import { pad, escapeControls, escapeControlsJson, truncate, widthOf } from './terminal.ts';

/** Aligns columns; numbers to the right. */
export function table(head: readonly string[], rows: readonly (readonly (string | number | null)[])[]): string {
  const cells = rows.map((row) =>
    row.map((cell) => (typeof cell === 'number' ? number(cell) : escapeControls((cell ?? '').replaceAll(/[\n\t]/g, ' ')))),
  );
  const widths = head.map((title, i) => Math.max(widthOf(title), ...cells.map((row) => widthOf(row[i]!))));
  const right = head.map((_, i) => rows.some((row) => typeof row[i] === 'number'));
  const line = (row: readonly string[]) =>
    row
      .map((cell, i) => pad(cell, widths[i]!, right[i] ? 'left' : 'right'))
      .join('  ')
      .trimEnd();
  return [line(head), ...cells.map(line)].join('\n');
}

/** Columns of a cell in a table of records. */
const CELL = 60;

/** A table of JSON records. Long texts are cut. */
export function recordTable(columns: readonly string[], rows: readonly Readonly<Record<string, unknown>>[]): string {
  const cell = (value: unknown) =>
    typeof value === 'number' || value === null || value === undefined
      ? (value ?? null)
      : truncate((typeof value === 'string' ? value : JSON.stringify(value)).slice(0, 4 * CELL).replaceAll(/\s+/g, ' '), CELL);
  return table(
    columns,
    rows.map((row) => columns.map((column) => cell(row[column]))),
  );
}

/** `12 no-score, 3 too-long`; the most frequent first. */
export const formatDropped = (reasons: Readonly<Record<string, number>>): string =>
  Object.entries(reasons)
    .toSorted(([, a], [, b]) => b - a)
    .map(([reason, count]) => `${number(count)} ${reason}`)
    .join(', ');

/** `"Score: 6" (12), "I pass." (3)`. */
export const formatEndings = (unread: readonly { readonly ending: string; readonly count: number }[], most: number): string =>
  unread
    .slice(0, most)
    .map(({ ending, count }) => `${JSON.stringify(ending)} (${number(count)})`)
    .join(', ');

/** Numbers as bars of one line. */
export function sparkline(numbers: readonly number[]): string {
  const bars = '▁▂▃▄▅▆▇█';
  const [least, most] = [Math.min(...numbers), Math.max(...numbers)];
  return numbers.map((one) => bars[Math.round(((one - least) / (most - least || 1)) * (bars.length - 1))]).join('');
}

export const printJson = (value: unknown): void => void process.stdout.write(`${escapeControlsJson(JSON.stringify(value, null, 2))}\n`);
