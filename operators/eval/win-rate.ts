/** Win rates with 95 % intervals, as they are and with the effect of length taken out (Length-Controlled AlpacaEval, 2404.04475). */

/** A comparison of two answers. */
export interface Comparison {
  /** 1: the model's answer won, 0: it lost, 0.5: a tie. */
  readonly preference: number;
  /** Length of the model's answer minus length of the other. */
  readonly longer: number;
}

export interface Estimate {
  readonly value: number;
  readonly low: number;
  readonly high: number;
}

/** Resamples of the bootstrap, by prompts. */
const RESAMPLES = 1000;

/** The mean preference, and the preference that a logistic regression on the difference of lengths expects between answers of equal
 *  length. Without comparisons all numbers are 0. */
export function winRates(comparisons: readonly Comparison[]): { readonly winRate: Estimate; readonly lengthControlled: Estimate } {
  const deviation = Math.sqrt(mean(comparisons.map(({ longer }) => longer ** 2)) - mean(comparisons.map(({ longer }) => longer)) ** 2);
  const points = comparisons.map(({ preference, longer }) => ({ preference, longer: deviation > 0 ? Math.tanh(longer / deviation) : 0 }));
  const fitted = fit(points, [0, 0]);
  const rate = (some: readonly Comparison[]) => mean(some.map(({ preference }) => preference));
  const random = randomNumbers();
  const resampled = Array.from({ length: points.length === 0 ? 0 : RESAMPLES }, () => {
    const drawn = points.map(() => points[Math.floor(random() * points.length)]!);
    return { winRate: rate(drawn), lengthControlled: sigmoid(fit(drawn, fitted)[0]) };
  });
  return {
    winRate: {
      value: rate(points),
      ...interval(resampled.map(({ winRate }) => winRate)),
    },
    lengthControlled: {
      value: points.length === 0 ? 0 : sigmoid(fitted[0]),
      ...interval(resampled.map(({ lengthControlled }) => lengthControlled)),
    },
  };
}

type Coefficients = readonly [intercept: number, slope: number];
/** Ridge penalties: a weak one lets a model that always wins have a finite intercept. */
const PENALTIES = [1e-3, 1];
const MOST_STEPS = 50;
const LARGEST = 10;

/** Fits preference = sigmoid(intercept + slope * longer) by Newton's method. */
function fit(points: readonly Comparison[], start: Coefficients): Coefficients {
  let [a, b] = start;
  for (let step = 0; step < MOST_STEPS; step++) {
    let [ga, gb] = [-PENALTIES[0]! * a, -PENALTIES[1]! * b];
    let [haa, hab, hbb] = [PENALTIES[0]!, 0, PENALTIES[1]!];
    for (const { preference, longer } of points) {
      const expected = sigmoid(a + b * longer);
      const weight = expected * (1 - expected);
      ga += preference - expected;
      gb += (preference - expected) * longer;
      haa += weight;
      hab += weight * longer;
      hbb += weight * longer ** 2;
    }
    const determinant = haa * hbb - hab ** 2;
    const [da, db] = [(hbb * ga - hab * gb) / determinant, (haa * gb - hab * ga) / determinant];
    [a, b] = [clamp(a + da), clamp(b + db)];
    if (Math.abs(da) + Math.abs(db) < 1e-6) break;
  }
  return [a, b];
}

function interval(values: readonly number[]): Omit<Estimate, 'value'> {
  const sorted = values.toSorted((x, y) => x - y);
  const at = (share: number) => sorted[Math.round(share * (sorted.length - 1))] ?? 0;
  return { low: at(0.025), high: at(0.975) };
}

/** Numbers in [0, 1), always the same: equal verdicts have equal intervals. */
function randomNumbers(): () => number {
  let state = 0x9e3779b9;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));
const clamp = (x: number): number => Math.max(-LARGEST, Math.min(LARGEST, x));
const mean = (numbers: readonly number[]): number => numbers.reduce((sum, one) => sum + one, 0) / Math.max(1, numbers.length);
