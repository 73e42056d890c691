/** Near-duplicates: MinHash finds the pairs worth a look, the Jaccard index of their word 3-grams decides. */
import { z } from 'zod';
import { reducer, type Dataset, type Soon } from '../../recipe/index.ts';
import { bandsOf, jaccard, shinglesOf } from './shingles.ts';

type Values = Readonly<Record<string, unknown>>;
/** With 4 rows each, 32 bands miss 1 in 6,600 pairs of Jaccard .7 and 1 in 8 of .5. */
const BANDS = 32;
const ROWS = 4;

/** Drops each record whose `on` is as near as `jaccard` to that of an earlier one that was kept. */
export const dedup = reducer<{ readonly of: Soon<Dataset<Values>> }, Dataset<Values>, { readonly on: string; readonly jaccard: number }>({
  version: 1,
  params: z.strictObject({ on: z.string(), jaccard: z.number().gt(0).max(1) }),
  async *run({ of }, { on, jaccard: limit }) {
    const text = (value: Values) => (typeof value[on] === 'string' ? value[on] : '');
    const paired = new Paired();
    for await (const { value } of of) paired.add(bandsOf(shinglesOf(text(value)), BANDS, ROWS));
    const suspects = paired.suspects();

    // Whoever shares no band with another is no near-duplicate, so only suspects are held.
    const kept = new Map<number, { readonly id: string; readonly shingles: Uint32Array }[]>();
    let row = 0;
    for await (const record of of) {
      if (!suspects.has(row++)) {
        yield { record };
        continue;
      }
      const shingles = shinglesOf(text(record.value));
      const homes = [...bandsOf(shingles, BANDS, ROWS)].map((key, band) => (key % 2 ** 27) * BANDS + band);
      const others = new Set(homes.flatMap((home) => kept.get(home) ?? []));
      const twin = others.values().find((other) => jaccard(shingles, other.shingles) >= limit);
      if (twin) {
        yield { record, dropped: 'near-duplicate', evidence: `of ${twin.id}` };
        continue;
      }
      const own = { id: record.id, shingles };
      for (const home of homes) kept.set(home, [...(kept.get(home) ?? []), own]);
      yield { record };
    }
  },
});

/** Band keys of all records, 128 bytes each, and the rows that share one with another row. */
class Paired {
  readonly #blocks: Uint32Array[] = [];
  #rows = 0;
  static readonly #block = 8192;

  add(keys: Uint32Array): void {
    const at = this.#rows++ % Paired.#block;
    if (at === 0) this.#blocks.push(new Uint32Array(Paired.#block * BANDS));
    this.#blocks.at(-1)!.set(keys, at * BANDS);
  }

  suspects(): Set<number> {
    const found = new Set<number>();
    for (let band = 0; band < BANDS; band++) {
      const first = new Map<number, number>();
      for (let row = 0; row < this.#rows; row++) {
        const key = this.#blocks[Math.floor(row / Paired.#block)]![(row % Paired.#block) * BANDS + band]!;
        const before = first.get(key);
        if (before === undefined) first.set(key, row);
        else found.add(before).add(row);
      }
    }
    return found;
  }
}
