/** Exports the data sources of the namespace `std`. */
export { documents } from './documents.ts';
export { hub } from './hub.ts';
export { lmEval as 'lm-eval' } from './lm-eval.ts';
export { table } from './table.ts';
