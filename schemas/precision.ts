/** The share of records that people approved, with its interval. */

export interface ReviewCounts {
  readonly approved: number;
  readonly rejected: number;
  /** Right but for values that were mended: not approved as they were. */
  readonly edited: number;
}

export interface Precision {
  readonly precision: number;
  /** Ends of the 95 % interval. */
  readonly low: number;
  readonly high: number;
  readonly of: number;
}

/** The share of approved records of all that have a verdict; undefined if none has. */
export function precisionOf({ approved, rejected, edited }: ReviewCounts): Precision | undefined {
  const of = approved + rejected + edited;
  return of === 0 ? undefined : { precision: approved / of, ...wilson(approved / of, of), of };
}

/** `43 of 50 approved, a precision of 0.86 (95 % interval 0.74 to 0.93); 5 rejected, 2 edited` */
export function precisionText(counts: ReviewCounts): string {
  const found = precisionOf(counts);
  if (!found) return 'no record has a verdict yet';
  const { precision, low, high, of } = found;
  const [share, from, to] = [precision, low, high].map((x) => x.toFixed(2));
  const others = [`${counts.rejected} rejected`, `${counts.edited} edited`].join(', ');
  return `${counts.approved} of ${of} approved, a precision of ${share} (95 % interval ${from} to ${to}); ${others}`;
}

/** The 95 % interval of a share of n items by Wilson's score (1927). */
export function wilson(share: number, n: number): { readonly low: number; readonly high: number } {
  const z = 1.959964;
  const middle = (share + (z * z) / (2 * n)) / (1 + (z * z) / n);
  const half = (z / (1 + (z * z) / n)) * Math.sqrt((share * (1 - share)) / n + (z * z) / (4 * n * n));
  return { low: Math.max(0, middle - half), high: Math.min(1, middle + half) };
}
