/** `npm run bench -- crashes`: the demo itself, killed with SIGKILL in five places (everything at once in each phase, and the trainer
 *  between two checkpoints), beside the demo undisturbed. Every step must end with the same digest. Seconds. */
import { resolve } from 'node:path';
import type { View } from '../cli/view.ts';
import type { PartName } from '../cli/chaos/parts.ts';
import { Miniature } from '../test/support/miniature.ts';
import { disturbed, undisturbed } from '../test/support/miniature-kill.ts';
import { rounded, type Result } from './support.ts';

const FILE = resolve(import.meta.dirname, '../examples/textworld/humpback.yaml');
const NAME = 'textworld-humpback';
const digests = (view: View) => new Map(view.steps.map(({ path, stepKey, output }) => [path, `${stepKey} ${output?.digest}`]));

export async function crashes(): Promise<Result> {
  const reference = await whole(async (site) => {
    await undisturbed(site);
    return [];
  });
  const rows: object[] = [{ killed: 'nothing', experiment: reference.seconds }];
  let differing = 0;
  for (const part of ['everything at once', 'trainer'] as const satisfies PartName[]) {
    const { recoveries, view, seconds } = await whole((site) => disturbed(site, part, reference.view));
    const different = [...digests(view)].filter(([path, digest]) => digests(reference.view).get(path) !== digest);
    differing += different.length;
    for (const { phase, back, progress } of recoveries)
      rows.push({
        killed: part,
        in: phase,
        back: rounded(back, 1),
        'then goes on': rounded(Math.max(0, progress - back), 1),
        experiment: seconds,
        'steps that differ': different.length,
      });
  }
  return { rows, bounds: [{ what: 'steps that differ', is: differing, atMost: 0 }] };
}

async function whole<T>(body: (site: Miniature) => Promise<T[]>): Promise<{ recoveries: T[]; view: View; seconds: number }> {
  const site = new Miniature({ file: FILE, name: NAME });
  const began = performance.now();
  try {
    const recoveries = await body(site);
    return { recoveries, view: await site.status(), seconds: rounded((performance.now() - began) / 1000, 1) };
  } finally {
    await site.down();
    site.remove();
  }
}
