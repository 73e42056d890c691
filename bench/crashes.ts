/** `npm run bench -- crashes`: the demo itself, killed with SIGKILL in five places (everything at once in each phase, and the trainer
 *  between two checkpoints), beside the demo undisturbed. Every step must end with the same digest. Seconds. */
import { resolve } from 'node:path';
import type { View } from '../cli/view.ts';
import type { PartName } from '../cli/chaos/parts.ts';
import { Miniature } from '../test/support/miniature.ts';
import { disturbed, undisturbed } from '../test/support/miniature-kill.ts';

const FILE = resolve(import.meta.dirname, '../examples/textworld/humpback.yaml');
const NAME = 'textworld-humpback';
const digests = (view: View) => new Map(view.steps.map(({ path, stepKey, output }) => [path, `${stepKey} ${output?.digest}`]));

export async function crashes(): Promise<object[]> {
  const reference = await whole(async (site) => {
    await undisturbed(site);
    return [];
  });
  const rows: object[] = [{ killed: 'nothing', experiment: reference.seconds }];
  for (const part of ['everything at once', 'trainer'] as const satisfies PartName[]) {
    const { recoveries, view, seconds } = await whole((site) => disturbed(site, part, reference.view));
    const different = [...digests(view)].filter(([path, digest]) => digests(reference.view).get(path) !== digest);
    for (const { phase, back, progress } of recoveries)
      rows.push({
        killed: part,
        in: phase,
        back: round(back),
        'then goes on': round(Math.max(0, progress - back)),
        experiment: seconds,
        'steps that differ': different.length,
      });
  }
  return rows;
}

async function whole<T>(body: (site: Miniature) => Promise<T[]>): Promise<{ recoveries: T[]; view: View; seconds: number }> {
  const site = new Miniature({ file: FILE, name: NAME });
  const began = performance.now();
  try {
    const recoveries = await body(site);
    return { recoveries, view: await site.status(), seconds: round((performance.now() - began) / 1000) };
  } finally {
    await site.down();
    site.remove();
  }
}

const round = (seconds: number): number => Number(seconds.toFixed(1));
