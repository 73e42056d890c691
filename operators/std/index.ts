/** What every recipe may use: reducers on whole datasets, and sources of real data. */
export { cluster, diverse } from './cluster.ts';
export { dedup } from './dedup.ts';
export { degeneracy } from './degeneracy.ts';
export { documents } from './documents.ts';
export { jsonl } from './jsonl.ts';
export { mix, union, without } from './join.ts';
export { draw, select } from './select.ts';
export { spread } from './spread.ts';
