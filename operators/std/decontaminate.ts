/** Drops records that contain items on which a model will be evaluated. */
import { z } from 'zod';
import { filter, type Rows } from '../../recipe/index.ts';
import { BackspinError } from '../../schemas/errors.ts';
import { unspaced } from '../unspaced.ts';

type Values = Readonly<Record<string, unknown>>;

const items = z.custom<Rows<Values>>((value) => typeof value === 'object' && value !== null && 'rows' in value, 'a dataset');
const params = z.strictObject({
  against: z.array(z.strictObject({ items, fields: z.array(z.string().min(1)).min(1) })).min(1),
  words: z.int().min(1).default(13),
});

/**
 * Drops as `contaminated` each record with a text that shares `words` consecutive words with an item of `against`, or that is, as a
 * whole, an item of fewer words. Compares all texts of a record with those in the `fields` of the items. Case, punctuation and width
 * do not count, and a character of a script without spaces is a word. The evidence is the shared words and the id of the item, the first
 * that has them. 13 words as for GPT-3 (2005.14165, appendix C).
 *
 * @throws if no item has text in the fields
 */
export const decontaminate = filter<unknown, z.output<typeof params>>({
  version: 1,
  params,
  async *run({ of }, { against, words }) {
    const index = new GramIndex(words);
    for (const { items, fields } of against) await addItems(index, items, fields);
    for await (const record of of) {
      const found = index.findIn(textsIn(record.value));
      if (found) yield { record, dropped: 'contaminated', evidence: `"${found.gram}" of ${found.item}` };
      else yield { record };
    }
  },
});

async function addItems(index: GramIndex, items: Rows<Values>, fields: readonly string[]): Promise<void> {
  let texts = 0;
  let last: Values = {};
  for await (const { id, value } of items) {
    last = value;
    for (const field of fields) {
      for (const text of textsIn(valueAt(value, field.split('.')))) {
        index.add(id, text);
        texts++;
      }
    }
  }
  if (texts === 0 && items.rows > 0)
    throw new BackspinError(
      'ConfigError',
      `None of the ${items.rows} items to compare with has text in ${fields.join(' or ')}: the last one has ${Object.keys(last).join(', ')}. Name the field that holds the text.`,
    );
}

/** The value at a path; of a list, the values in all its elements. */
function valueAt(value: unknown, [key, ...rest]: readonly string[]): unknown {
  if (key === undefined || typeof value !== 'object' || value === null) return key === undefined ? value : undefined;
  return Array.isArray(value) ? value.map((one) => valueAt(one, [key, ...rest])) : valueAt((value as Values)[key], rest);
}

/** All texts in a value; of a message, what is said and not who says it. */
function* textsIn(value: unknown): Iterable<string> {
  if (typeof value === 'string') yield value;
  else if (Array.isArray(value)) for (const one of value) yield* textsIn(one);
  else if (typeof value === 'object' && value !== null) {
    if ('role' in value && 'content' in value) yield* textsIn(value.content);
    else if ('from' in value && 'value' in value) yield* textsIn(value.value);
    else for (const one of Object.values(value)) yield* textsIn(one);
  }
}

/** The word n-grams of many texts, and of which item each is. */
class GramIndex {
  readonly #length: number;
  /** A gram, its words joined by spaces -> the first item that has it. */
  readonly #items = new Map<string, string>();
  /** All words in grams: a gram with any other word need not be looked up. */
  readonly #words = new Set<string>();

  constructor(length: number) {
    this.#length = length;
  }

  add(item: string, text: string): void {
    const words = wordsOf(text);
    for (const word of words) this.#words.add(word);
    for (let end = Math.min(this.#length, words.length); 0 < end && end <= words.length; end++) {
      const gram = gramBefore(end, words, this.#length);
      if (!this.#items.has(gram)) this.#items.set(gram, item);
    }
  }

  /** The first gram in the texts that an item has. A text of fewer words is one gram. */
  findIn(texts: Iterable<string>): { readonly gram: string; readonly item: string } | undefined {
    for (const text of texts) {
      const words = wordsOf(text);
      let known = 0;
      for (const [at, word] of words.entries()) {
        known = this.#words.has(word) ? known + 1 : 0;
        if (known < Math.min(this.#length, words.length)) continue;
        const gram = gramBefore(at + 1, words, this.#length);
        const item = this.#items.get(gram);
        if (item !== undefined) return { gram, item };
      }
    }
    return undefined;
  }
}

const gramBefore = (end: number, words: readonly string[], length: number): string => words.slice(Math.max(0, end - length), end).join(' ');

/** A run of letters and digits; or a character of a script that writes no spaces between words. */
const word = new RegExp(String.raw`[[\p{L}\p{M}\p{N}]&&[${unspaced}]]|[[\p{L}\p{M}\p{N}]--[${unspaced}]]+`, 'gv');
const wordsOf = (text: string): string[] => text.normalize('NFKC').toLowerCase().match(word) ?? [];
