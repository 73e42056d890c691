/** Texts as sets of hashed word 3-grams, how alike two sets are, and MinHash signatures of them. */

/** Words of letters and digits, lower-case; a Han character is a word. */
export const wordsOf = (text: string): string[] =>
  text
    .normalize('NFKC')
    .toLowerCase()
    .match(/\p{Script=Han}|[[\p{L}\p{M}\p{N}]--\p{Script=Han}]+/gv) ?? [];

/** Returns the distinct 32-bit hashes of a text's word `n`-grams, sorted. A shorter text is one gram; a text without words counts as one
 *  word. */
export function shinglesOf(text: string, n = 3): Uint32Array {
  const found = wordsOf(text);
  const words = (found.length > 0 ? found : [text]).map(hashOf);
  const grams = new Set<number>();
  for (let at = 0; at === 0 || at + n <= words.length; at++) {
    let gram = 0;
    for (const word of words.slice(at, at + n)) gram = mixBits(Math.imul(gram, 31) + word);
    grams.add(gram);
  }
  return Uint32Array.from(grams).sort();
}

/** FNV-1a over UTF-16 units, with a finalizer. */
function hashOf(word: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < word.length; i++) hash = Math.imul(hash ^ word.charCodeAt(i), 0x01000193);
  return mixBits(hash);
}
function mixBits(x: number): number {
  let h = Math.imul(x ^ (x >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}

/** |a and b| / |a or b| of two sorted sets. */
export function jaccard(a: Uint32Array, b: Uint32Array): number {
  let [i, j, both] = [0, 0, 0];
  while (i < a.length && j < b.length) {
    if (a[i] === b[j]) both++;
    if (a[i]! <= b[j]!) {
      if (a[i] === b[j]) j++;
      i++;
    } else j++;
  }
  return both / (a.length + b.length - both);
}

/** Returns one MinHash key per band: sets of Jaccard index J share a given key with probability J^rows. */
export function bandsOf(shingles: Uint32Array, bands: number, rows: number): Uint32Array {
  const keys = new Uint32Array(bands);
  for (let band = 0; band < bands; band++) {
    let key = 0;
    for (let row = 0; row < rows; row++) {
      const salt = Math.imul(band * rows + row + 1, 0x9e3779b1);
      let least = 0xffffffff;
      for (const shingle of shingles) least = Math.min(least, mixBits(shingle ^ salt));
      key = mixBits(Math.imul(key, 31) + least);
    }
    keys[band] = key;
  }
  return keys;
}
