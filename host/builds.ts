/** Whether the workers that are up run the files that this command does: `up` has its own copy of those that it was started with. */
import { BackspinError } from '../schemas/errors.ts';
import { sourcesDigest } from './build.ts';
import { currentUp } from './home.ts';

/** The sentence where they do not. */
export async function otherBuild(): Promise<string | undefined> {
  const up = currentUp();
  if (!up || up.build === (await sourcesDigest())) return undefined;
  return 'The files of backspin have changed since `backspin up` was started, which runs them as they were: `backspin down` and `backspin up` take them up, and what runs goes on under them with what it has finished.';
}

/** Throws for a word that is made of this command's files, and that the workers would take by theirs. */
export async function refuseOtherBuild(): Promise<void> {
  const other = await otherBuild();
  if (other) throw new BackspinError('Refused', other);
}
