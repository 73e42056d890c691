/** Returns the current state of an experiment: from its workflow if that answers, else from the store. */
import { isClosed, type ExperimentRecord } from '../schemas/experiment.ts';
import type { Temporal } from '../host/connect.ts';
import type { Progress } from './progress.ts';

/** Runs `body` with this home's Temporal server, or with the reason why there is none. */
export async function withTemporal<T>(body: (temporal: Temporal | undefined, why: string | null) => Promise<T>): Promise<T> {
  const { tryConnect } = await import('../host/connect.ts');
  const temporal = await tryConnect();
  try {
    return await body(typeof temporal === 'string' ? undefined : temporal, typeof temporal === 'string' ? temporal : null);
  } finally {
    if (typeof temporal !== 'string') await temporal.close();
  }
}

/** `others`: open experiments, which may hold the devices that this one waits for. */
export async function currentProgress(
  temporal: Temporal | undefined,
  why: string | null,
  record: ExperimentRecord,
  others?: () => Promise<readonly ExperimentRecord[]>,
): Promise<Progress> {
  if (!isClosed(record) && temporal) return (await import('./progress.ts')).progressOf(temporal, record, others);
  const running = record.steps.filter(({ state }) => state === 'running');
  return {
    record,
    open: !isClosed(record),
    gone: false,
    stale: isClosed(record) ? null : why,
    waits: new Map(running.map(({ path }) => [path, { state: 'stopped' }])),
  };
}

export async function currentRecord(record: ExperimentRecord): Promise<ExperimentRecord> {
  if (isClosed(record)) return record;
  return withTemporal(async (temporal, why) => (await currentProgress(temporal, why, record)).record);
}
