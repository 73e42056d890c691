/** Exports benchmarks of models that need no recipe. */
export { ifeval, instruct } from './ifeval.ts';
export { tagging } from './tagging.ts';
