/** Finds sets with a minimum Jaccard index without comparing every pair (Xiao et al. 2008, "Efficient similarity joins for near
 *  duplicate detection", sections 3 and 4). Members are sorted, rare ones first. Two similar sets share a member in their first few
 *  members (the prefix); if the first shared member comes late in a set, too few members remain to reach the minimum. So pages of one
 *  template are never compared: their common members are frequent and come last. */
import { jaccard } from './shingles.ts';

/** Number of counters. Members with the same counter count together, which worsens the order but changes no result. */
const COUNTERS = 2 ** 24;
/** Tolerance for quotients that lie slightly above a whole number. */
const EPSILON = 1e-9;

/** Counts the sets that contain each member. */
export class Frequencies {
  readonly #counts = new Uint32Array(COUNTERS);

  add(set: Uint32Array): void {
    for (const member of set) this.#counts[member % COUNTERS]!++;
  }
  /** A member of one set only matches no other set. */
  of(member: number): number {
    return this.#counts[member % COUNTERS]!;
  }
}

/** Sets of one size with a common member in their prefix. */
interface Group {
  readonly size: number;
  /** The maximum of `left`. */
  maxLeft: number;
  /** The sets, and for each the number of members from the common one on, itself included. */
  readonly sets: number[];
  readonly left: number[];
}

export class SimilarSets {
  /** Number of pairs whose members were compared. */
  compared = 0;
  readonly #limit: number;
  readonly #frequencies: Frequencies;
  readonly #sets: Uint32Array[] = [];
  readonly #groups = new Map<number, Group[]>();

  /** `frequencies`: counts of all sets to come. */
  constructor(limit: number, frequencies: Frequencies) {
    this.#limit = limit;
    this.#frequencies = frequencies;
  }

  /** Adds a sorted set under the next number, from 0 on. */
  add(set: Uint32Array): void {
    const number = this.#sets.push(set) - 1;
    for (const [at, member] of this.#prefix(set).entries()) {
      if (this.#frequencies.of(member) < 2) continue;
      const left = set.length - at;
      const groups = this.#groups.get(member) ?? [];
      if (groups.length === 0) this.#groups.set(member, groups);
      let group = groups.find(({ size }) => size === set.length);
      if (!group) groups.push((group = { size: set.length, maxLeft: 0, sets: [], left: [] }));
      group.maxLeft = Math.max(group.maxLeft, left);
      group.sets.push(number);
      group.left.push(left);
    }
  }

  /** Returns the number of the first set with at least the minimum index; undefined if there is none. */
  findSimilar(set: Uint32Array): number | undefined {
    const found = new Set<number>();
    for (const [at, member] of this.#prefix(set).entries()) {
      const left = set.length - at;
      for (const group of this.#groups.get(member) ?? []) {
        const shared = this.#minOverlap(set.length, group.size);
        if (shared > left || shared > group.maxLeft) continue;
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

  /** Returns the minimum overlap of two similar sets of these sizes; infinite if their sizes differ too much. */
  #minOverlap(a: number, b: number): number {
    if (Math.min(a, b) < this.#limit * Math.max(a, b) - EPSILON) return Infinity;
    return Math.ceil((this.#limit / (1 + this.#limit)) * (a + b) - EPSILON);
  }

  /** Returns the prefix of a set, rarest members first: every similar set contains one of them. */
  #prefix(set: Uint32Array): Uint32Array {
    const order = Float64Array.from(set, (member) => Math.min(this.#frequencies.of(member), 2 ** 20) * 2 ** 32 + member).sort();
    return Uint32Array.from(order.subarray(0, set.length - Math.ceil(this.#limit * set.length - EPSILON) + 1), (key) => key % 2 ** 32);
  }
}
