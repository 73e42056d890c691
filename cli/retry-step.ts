/** `backspin retry-step NAME [STEP]`: runs a step that needs attention again, with edited settings (`--set`), files and modules. */
import { grantAll } from '../steps/grants.ts';
import { contextOf } from '../recipe/inputs.ts';
import * as messages from '../schemas/messages.ts';
import { refuseOtherBuild } from '../host/builds.ts';
import { send, targetOf } from './control.ts';
import { currentRecord } from '../experiments/current.ts';
import { openHome } from '../host/home-store.ts';
import { experimentOf } from '../experiments/record.ts';
import { findEdits } from '../experiments/edits.ts';

export async function run(name: string, step: string | undefined, { set }: { set: string[] }): Promise<void> {
  const store = await openHome();
  await refuseOtherBuild(store);
  const record = await currentRecord(await experimentOf(store, name));
  const { experiment, lines } = await findEdits(record, set);
  if (experiment) await grantAll(store, contextOf(experiment.bound));
  const more = experiment && { config: experiment.bound, configDigest: experiment.digest };
  await send(
    name,
    (handle) => handle.executeUpdate(messages.retryStep, { args: [{ ...targetOf(step), ...more }] }),
    'tries the step again',
  );
  if (lines.length > 0) console.log(lines.join('\n'));
}
