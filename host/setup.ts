/** Reads what set-up found or installed on this machine. */
export { readSetup, SET_UP, type Setup } from '../devices/installation.ts';
