/** Exports reducers and suites on whole datasets for all recipes. `sources/` holds the sources of this namespace. */
export { ask } from './ask.ts';
export { cluster, diverse } from './cluster.ts';
export { decontaminate } from './decontaminate.ts';
export { dedup } from './dedup.ts';
export { degeneracy } from './degeneracy.ts';
export { first } from './first.ts';
export { separation, shuffled } from './judge-check.ts';
export { mix, union, without } from './join.ts';
export { repeat } from './repeat.ts';
export { review } from './review.ts';
export { draw, select } from './select.ts';
export { spread } from './spread.ts';
