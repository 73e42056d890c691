/** Sources of real data, in the namespace `std` beside its reducers. */
export { documents } from './documents.ts';
export { jsonl } from './jsonl.ts';
