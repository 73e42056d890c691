/** Lists the kills of the fault matrix that two benches time. */
import type { PartName } from '../cli/chaos/parts.ts';
import { matrix, runsOf, type Run } from '../test/faults/matrix.ts';

const PHASES = ['generate', 'judge', 'train', 'evaluate'];

/** Kills a part with SIGKILL in every phase that it takes part in. */
export const killsOf = (part: PartName): Run[] =>
  runsOf(matrix.filter((cell) => cell.part === part && cell.fault === 'SIGKILL' && PHASES.includes(cell.phase)));
