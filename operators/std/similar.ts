/**
 * Finds the sets that are as near as a limit by their Jaccard index, without comparing every pair (Xiao et al. 2008, "Efficient similarity
 * joins for near duplicate detection", sections 3 and 4). Members are put in one order, rare ones first. Two sets that are near enough
 * share a member among the first few of each; and where the first that they share comes late in one, too few are left to share. So pages
 * of one template are not even looked at: what they share is what all of them have, and that comes last.
 */
import { jaccard } from './shingles.ts';

/** Counters; members that fall on the same one count together, which makes the order worse and no result wrong. */
const COUNTERS = 2 ** 24;
/** A quotient of numbers may lie a little above the whole number that it stands for. */
const ROUNDED = 1e-9;

/** In how many sets each member is. */
export class Frequencies {
  readonly #counts = new Uint32Array(COUNTERS);

  add(set: Uint32Array): void {
    for (const member of set) this.#counts[member % COUNTERS]!++;
  }
  /** A member that is in this set alone can be told from all others. */
  of(member: number): number {
    return this.#counts[member % COUNTERS]!;
  }
}

/** Sets of one size that have a member among their first ones. */
interface Group {
  readonly size: number;
  /** Of any of them, how many members come from this one on, itself included. */
  most: number;
  /** The sets, each with that number. */
  readonly sets: number[];
  readonly left: number[];
}

export class SimilarSets {
  /** Pairs that were compared member by member. */
  compared = 0;
  readonly #limit: number;
  readonly #frequencies: Frequencies;
  readonly #sets: Uint32Array[] = [];
  readonly #groups = new Map<number, Group[]>();

  /** `frequencies`: of all sets that will come. */
  constructor(limit: number, frequencies: Frequencies) {
    this.#limit = limit;
    this.#frequencies = frequencies;
  }

  /** Gives it the next number, from 0 on. The set is sorted. */
  add(set: Uint32Array): void {
    const number = this.#sets.push(set) - 1;
    for (const [at, member] of this.#first(set).entries()) {
      if (this.#frequencies.of(member) < 2) continue;
      const left = set.length - at;
      const groups = this.#groups.get(member) ?? [];
      if (groups.length === 0) this.#groups.set(member, groups);
      let group = groups.find(({ size }) => size === set.length);
      if (!group) groups.push((group = { size: set.length, most: 0, sets: [], left: [] }));
      group.most = Math.max(group.most, left);
      group.sets.push(number);
      group.left.push(left);
    }
  }

  /** The number of the first set that is as near as the limit; undefined: there is none. */
  firstLike(set: Uint32Array): number | undefined {
    const found = new Set<number>();
    for (const [at, member] of this.#first(set).entries()) {
      const left = set.length - at;
      for (const group of this.#groups.get(member) ?? []) {
        const shared = this.#shared(set.length, group.size);
        if (shared > left || shared > group.most) continue;
        for (const [i, other] of group.sets.entries()) if (group.left[i]! >= shared) found.add(other);
      }
    }
    return [...found]
      .sort((a, b) => a - b)
      .find((other) => {
        this.compared++;
        return jaccard(set, this.#sets[other]!) >= this.#limit;
      });
  }

  /** How many members two sets of these sizes share at least that are near enough; more than they have where none can be. */
  #shared(a: number, b: number): number {
    if (Math.min(a, b) < this.#limit * Math.max(a, b) - ROUNDED) return Infinity;
    return Math.ceil((this.#limit / (1 + this.#limit)) * (a + b) - ROUNDED);
  }

  /** The members among which a set that is near enough has one, the rarest first. */
  #first(set: Uint32Array): Uint32Array {
    const order = Float64Array.from(set, (member) => Math.min(this.#frequencies.of(member), 2 ** 20) * 2 ** 32 + member).sort();
    return Uint32Array.from(order.subarray(0, set.length - Math.ceil(this.#limit * set.length - ROUNDED) + 1), (key) => key % 2 ** 32);
  }
}
