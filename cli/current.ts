/** The newest record of an experiment there is: the root's where it runs and answers, else the store's. */
import type { ExperimentRecord } from '../schemas/experiment.ts';
import { currentUp } from './home.ts';

export async function currentRecord(record: ExperimentRecord): Promise<ExperimentRecord> {
  const closed = record.state === 'completed' || record.state === 'failed' || record.state === 'cancelled';
  if (closed || (!currentUp() && !process.env['TEMPORAL_ADDRESS'])) return record;
  const [{ tryConnect }, { progressOf }] = await Promise.all([import('./connect.ts'), import('./progress.ts')]);
  const temporal = await tryConnect();
  try {
    return temporal ? (await progressOf(temporal, record)).record : record;
  } finally {
    await temporal?.close();
  }
}
