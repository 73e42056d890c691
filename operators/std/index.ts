/** What every recipe may use: reducers on whole datasets. The sources of this namespace are in `sources/`. */
export { cluster, diverse } from './cluster.ts';
export { dedup } from './dedup.ts';
export { degeneracy } from './degeneracy.ts';
export { mix, union, without } from './join.ts';
export { draw, select } from './select.ts';
export { spread } from './spread.ts';
