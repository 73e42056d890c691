/** `recovery`: how long a running experiment stands still when a part of it dies, and what is then asked twice: the miniature undisturbed,
 *  then once for each part, which is killed with SIGKILL in every phase. Seconds. */
import type { PartName } from '../cli/chaos/parts.ts';
import { IN_FLIGHT, Miniature } from '../test/support/miniature.ts';
import { disturbed, killed, undisturbed } from '../test/support/miniature-kill.ts';
import { rounded, type Result } from './support.ts';

/** Beside them, what is killed has a start of its own, which is not ours to shorten. */
const OURS: readonly PartName[] = ['data worker', 'gpu worker', 'orchestrator'];

export async function recovery(): Promise<Result> {
  const plain = await timed(async (site) => {
    await undisturbed(site);
    return site.status();
  });
  const rows: object[] = [{ killed: 'nothing', experiment: plain.seconds }];
  const [ours, servers, again] = [[0], [0], [0]];
  for (const part of Object.keys(killed) as PartName[]) {
    const { value, seconds } = await timed(async (site) => ({ kills: await disturbed(site, part, plain.value), asked: site.asked() }));
    for (const { phase, back, replaced, progress } of value.kills) {
      if (OURS.includes(part)) ours.push(progress);
      if (part === 'model server') servers.push(replaced! + Math.max(0, progress - back));
      rows.push({ killed: part, in: phase, back: rounded(back), 'goes on after': rounded(progress), experiment: seconds });
    }
    again.push(...value.asked.map((step) => step.again / value.kills.length));
  }
  return {
    rows,
    bounds: [
      { what: 'seconds from the death of a worker to the next record, step or output', is: rounded(Math.max(...ours)), atMost: 5 },
      { what: "seconds beside a model server's own start", is: rounded(Math.max(...servers)), atMost: 3 },
      { what: 'requests of a step answered again, by kill', is: rounded(Math.max(...again)), atMost: IN_FLIGHT },
    ],
  };
}

/** In a home of its own; the time is of all but `down`. */
async function timed<T>(body: (site: Miniature) => Promise<T>): Promise<{ readonly seconds: number; readonly value: T }> {
  const site = new Miniature();
  const began = performance.now();
  try {
    const value = await body(site);
    return { seconds: rounded((performance.now() - began) / 1000, 1), value };
  } finally {
    await site.down();
    site.remove();
  }
}
