/** Exports the data sources of the namespace `std`. */
export { documents } from './documents.ts';
export { hub } from './hub.ts';
export { table } from './table.ts';
