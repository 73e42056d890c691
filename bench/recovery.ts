/** How long a running experiment stands still when a part of it dies: the miniature undisturbed, then once for each part, which is
 *  killed with SIGKILL in every phase. Seconds. */
import type { PartName } from '../cli/chaos/parts.ts';
import { Miniature } from '../test/support/miniature.ts';
import { disturbed, killed, undisturbed } from '../test/support/miniature-kill.ts';

export async function recovery(): Promise<object[]> {
  const plain = await timed(async (site) => {
    await undisturbed(site);
    return site.status();
  });
  const rows: object[] = [{ killed: 'nothing', experiment: plain.seconds }];
  for (const part of Object.keys(killed) as PartName[]) {
    const { value, seconds } = await timed((site) => disturbed(site, part, plain.value));
    for (const { phase, back, progress } of value)
      rows.push({ killed: part, in: phase, back: round(back), 'then goes on': round(Math.max(0, progress - back)), experiment: seconds });
  }
  return rows;
}

/** In a home of its own; the time is of all but `down`. */
async function timed<T>(body: (site: Miniature) => Promise<T>): Promise<{ readonly seconds: number; readonly value: T }> {
  const site = new Miniature();
  const began = performance.now();
  try {
    const value = await body(site);
    return { seconds: round((performance.now() - began) / 1000), value };
  } finally {
    await site.down();
    site.remove();
  }
}

const round = (seconds: number): number => Number(seconds.toFixed(1));
