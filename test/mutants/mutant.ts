/** A fault that the tests must notice. */
export interface Mutant {
  readonly name: string;
  readonly file: string;
  /** What the file has exactly once, and what comes in its place. */
  readonly from: string;
  readonly to: string;
  /** The fastest test file that notices. */
  readonly test: string;
}
