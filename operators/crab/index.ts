/** Exports the operators of CRAB: instructions with constraints that their responses meet already (2410.24175). */
export { annotated } from './annotated.ts';
export { bare, check, describe, single, tidy, verify } from './annotate.ts';
export { compose } from './compose.ts';
export { askCheck, askParts, askWhole, refine, toChat, toReply } from './prompts.ts';
export { capSources, longEnough } from './seeds.ts';
