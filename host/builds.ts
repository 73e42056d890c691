/** Checks whether the running workers have the same sources as this command: `up` runs a copy that it made when it started. */
import { BackspinError } from '../schemas/errors.ts';
import type { Store } from '../store/store.ts';
import { sourcesDigest } from './build.ts';
import { deploymentOf } from './deployment.ts';
import { currentUp } from './home.ts';

/** Returns a sentence if they differ. */
export async function otherBuild(): Promise<string | undefined> {
  const up = currentUp();
  if (!up || up.build === (await sourcesDigest())) return undefined;
  return 'The files of backspin have changed since `backspin up` was started, which runs them as they were: `backspin down` and `backspin up` take them up, and what runs goes on under them with what it has finished.';
}

/** Throws if they differ, for commands whose input workers would interpret with their own sources. */
export async function refuseOtherBuild(store: Store): Promise<void> {
  const other = await otherBuild();
  if (other) throw new BackspinError('Refused', other);
  const deployed = store.shared && (await deploymentOf(store));
  if (deployed && deployed.build !== (await sourcesDigest()))
    throw new BackspinError(
      'Refused',
      `The hosts of ${store.location} run other files of backspin than this one: install the same version here, or stop all workers and begin again with this one.`,
    );
}
