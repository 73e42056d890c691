/** Exports benchmarks of models that need no recipe. */
export { ifeval, instruct } from './ifeval.ts';
export { lmEval as 'lm-eval' } from './lm-eval.ts';
export { compare, pairwise } from './pairwise.ts';
export { perplexity } from './perplexity.ts';
export { tagging } from './tagging.ts';
