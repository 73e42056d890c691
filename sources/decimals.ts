/** Decimal numbers of Parquet and Arrow, which may have more digits than a number of JSON. */
import { parquetSchema, type FileMetaData, type SchemaElement } from 'hyparquet';

/** `unscaled` / 10^`scale`: a number, or its digits as a text where no number has all of them, as with integers beyond 2^53. */
export function decimalOf(unscaled: bigint, scale: number): number | string {
  let [digits, decimals] = [unscaled, scale];
  for (; decimals > 0 && digits % 10n === 0n; decimals--) digits /= 10n;
  const bare = String(digits < 0n ? -digits : digits).padStart(decimals + 1, '0') + '0'.repeat(Math.max(0, -decimals));
  const point = decimals > 0 ? bare.length - decimals : bare.length;
  const text = `${digits < 0n ? '-' : ''}${bare.slice(0, point)}${decimals > 0 ? `.${bare.slice(point)}` : ''}`;
  return Number.isSafeInteger(Number(digits)) && decimals >= 0 ? Number(text) : text;
}

type Node = ReturnType<typeof parquetSchema>;

/** Has the library leave decimals as they are stored, since it would round them. Returns what makes values of them in a row. */
export function exactDecimals(metadata: FileMetaData): (row: object) => object {
  const scales = new Map<SchemaElement, number>();
  for (const element of metadata.schema) {
    if (element.converted_type !== 'DECIMAL' && element.logical_type?.type !== 'DECIMAL') continue;
    scales.set(element, element.scale ?? 0);
    delete element.converted_type;
    delete element.logical_type;
  }
  const restore = (node: Node, value: unknown): unknown => {
    const { element, children } = node;
    if (value === null || value === undefined) return null;
    const scale = scales.get(element);
    if (scale !== undefined && !Array.isArray(value)) return decimalOf(unscaledOf(value), scale);
    if (Array.isArray(value)) return value.map((one) => restore(inList(node), one));
    if (children.length === 0 || typeof value !== 'object') return value;
    const [entry] = children;
    const ofKey = (key: string) => children.find((child) => child.element.name === key) ?? entry!.children.at(-1)!; // else it is a map
    return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, restore(ofKey(key), inner)]));
  };
  const root = parquetSchema(metadata);
  return scales.size === 0 ? (row) => row : (row) => restore(root, row) as object;
}
/** The entries of a list are in a group in a group, in files of old in one group, or repeated without any. */
function inList(list: Node): Node {
  const [group = list] = list.children;
  const isWrapped = list.element.converted_type === 'LIST' || list.element.logical_type?.type === 'LIST';
  return isWrapped && group.children.length === 1 ? group.children[0]! : isWrapped ? group : list;
}

/** Bytes have the highest first, in two's complement. */
function unscaledOf(value: unknown): bigint {
  if (!(value instanceof Uint8Array)) return BigInt(value as number | bigint);
  const unsigned = value.reduce((sum, byte) => (sum << 8n) | BigInt(byte), 0n);
  return BigInt.asIntN(8 * value.length, unsigned);
}
