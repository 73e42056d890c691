/** `recovery`: measures how long a running experiment stops when a part dies, and which requests it repeats: runs the miniature
 *  undisturbed, then once for each part with SIGKILL in every phase. Seconds. */
import { parts, type PartName } from '../cli/chaos/parts.ts';
import { carryOut } from '../test/faults/run.ts';
import { IN_FLIGHT } from '../test/support/miniature.ts';
import { killsOf } from './kills.ts';
import { rounded, type Result } from './support.ts';

/** The other parts include start-up time that backspin cannot shorten. */
const OURS: readonly PartName[] = ['data worker', 'gpu worker', 'orchestrator'];

export async function recovery(): Promise<Result> {
  const plain = await carryOut([]);
  const rows: object[] = [{ killed: 'nothing', experiment: rounded(plain.seconds, 1) }];
  const [ours, servers, again] = [[0], [0], [0]];
  for (const part of Object.keys(parts) as PartName[]) {
    for (const run of killsOf(part)) {
      const outcome = await carryOut(run, { reference: plain.view });
      for (const { cell, recovery } of outcome.tried) {
        const { back, replaced, progress } = recovery!;
        if (OURS.includes(part)) ours.push(Math.max(0, progress - back));
        if (part === 'model server') servers.push(replaced! + Math.max(0, progress - back));
        rows.push({
          killed: part,
          in: cell.phase,
          back: rounded(back, 1),
          'goes on after': rounded(progress, 1),
          experiment: rounded(outcome.seconds, 1),
        });
      }
      again.push(outcome.again / run.length);
    }
  }
  return {
    rows,
    bounds: [
      { what: 'seconds from the return of a worker to the next record, step or output', is: rounded(Math.max(...ours), 1), atMost: 5 },
      { what: "seconds beside a model server's own start", is: rounded(Math.max(...servers), 1), atMost: 3 },
      { what: 'requests answered again, by kill', is: rounded(Math.max(...again), 1), atMost: IN_FLIGHT },
    ],
  };
}
