/** Exports the operators of LINGUIST: annotated utterances for intent classification and slot tagging (2209.09900). */
export { accepted } from './accepted.ts';
export { annotate, rate } from './annotate.ts';
export { allBut, briefs, starters } from './briefs.ts';
export { crossDrills, drills } from './drills.ts';
export { best, novel } from './novel.ts';
export { paraphrase } from './paraphrase.ts';
export { request, rewriting, toUtterance } from './prompts.ts';
export { read } from './read.ts';
export { recognize } from './recognize.ts';
