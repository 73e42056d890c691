/** What the orchestrator's bundle holds. */
export { experiment } from './experiment.ts';
export { stage } from './stage.ts';
export { sweep } from './sweep.ts';
