/** Sources of real data, in the space `std` beside its reducers. */
export { documents } from './documents.ts';
export { jsonl } from './jsonl.ts';
