/** Formats tables, lists and JSON for people. */
import { number } from '../../schemas/units.ts';
import { pad, escapeControls, escapeControlsJson, widthOf } from './terminal.ts';

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

export const printJson = (value: unknown): void => void process.stdout.write(`${escapeControlsJson(JSON.stringify(value, null, 2))}\n`);
