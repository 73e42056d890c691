/** `crashes`: runs the demo undisturbed, and again with SIGKILL in five places (everything at once in each phase, and the trainer
 *  between two checkpoints). Every step must end with the same digest. Seconds. */
import { resolve } from 'node:path';
import { compareViews } from '../cli/chaos/compare.ts';
import { carryOut } from '../test/faults/run.ts';
import { killsOf } from './kills.ts';
import { rounded, type Result } from './support.ts';

const experiment = { file: resolve(import.meta.dirname, '../examples/textworld/humpback.yaml'), name: 'textworld-humpback' };

export async function crashes(): Promise<Result> {
  const plain = await carryOut([], { experiment });
  const rows: object[] = [{ killed: 'nothing', experiment: rounded(plain.seconds, 1) }];
  let differing = 0;
  for (const part of ['everything at once', 'trainer'] as const) {
    for (const run of killsOf(part)) {
      const { tried, view, seconds } = await carryOut(run, { reference: plain.view, experiment });
      const differences = compareViews(plain.view, view).length;
      differing += differences;
      for (const { cell, recovery } of tried) {
        const { back, progress } = recovery!;
        rows.push({
          killed: part,
          in: cell.phase,
          back: rounded(back, 1),
          'goes on after': rounded(progress, 1),
          experiment: rounded(seconds, 1),
          differences,
        });
      }
    }
  }
  return { rows, bounds: [{ what: 'keys, counts, digests and metrics that differ', is: differing, atMost: 0 }] };
}
