/** `backspin up`: runs the Temporal dev server and the workers, and restarts them until it receives a signal. */
import type { Options } from '../host/detach.ts';
import { readPools, readSlurmPools } from '../host/pools.ts';
import { requireShared } from '../host/shared.ts';
import { runSession } from './session.ts';

export async function run(options: Options): Promise<void> {
  if (options.detach) return (await import('../host/detach.ts')).detach(options);
  const { pool, ...more } = options;
  const slurm = pool === undefined ? readSlurmPools() : {};
  const [name] = Object.keys(slurm);
  if (name !== undefined) await requireShared(`the Slurm jobs of the pool ${name} need a common one`);
  await runSession({ ...more, orchestrator: true, data: true, pools: readPools(pool ?? []), slurm });
}
