/** Prints records for people. */
import { printJson } from './text.ts';

/** Prints one key per line; texts of several lines follow their key. */
export function printRecords(records: readonly unknown[], json?: boolean): void {
  if (json) return printJson(records);
  const isObject = (value: unknown): value is object => typeof value === 'object' && value !== null && !Array.isArray(value);
  /** `item.instruction: ...` */
  const parts = ([key, value]: [string, unknown]): [string, unknown][] =>
    isObject(value) ? Object.entries(value).map(([inner, one]) => [`${key}.${inner}`, one]) : [[key, value]];
  const text = (value: unknown) => (typeof value === 'string' ? value : JSON.stringify(value));
  const field = ([key, value]: [string, unknown]) =>
    typeof value === 'string' && value.includes('\n') ? `${key}:\n${value.replaceAll(/^/gm, '  ')}` : `${key}: ${text(value)}`;
  console.log(
    records
      .map((record) =>
        Object.entries(record as object)
          .flatMap(parts)
          .map(field)
          .join('\n'),
      )
      .join('\n\n'),
  );
}
