/** Exports benchmarks of models that need no recipe. */
export { ifeval, instruct } from './ifeval.ts';
export { compare, pairwise } from './pairwise.ts';
export { perplexity } from './perplexity.ts';
export { tagging } from './tagging.ts';
