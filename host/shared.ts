/** Checks that this host has what several hosts need in common. */
import { BackspinError } from '../schemas/errors.ts';
import { openHome } from './home-store.ts';
import { namedServer } from './profile.ts';

/** Throws an error with a sentence unless the Temporal server and the store are for several hosts. `why` they must be. */
export async function requireShared(why: string): Promise<void> {
  if (!namedServer())
    throw new BackspinError(
      'ConfigError',
      `No Temporal server is named, and ${why}: set TEMPORAL_ADDRESS or a Temporal profile. On one machine alone \`backspin up\` does all.`,
    );
  if (!(await openHome()).shared)
    throw new BackspinError(
      'ConfigError',
      `The store is a folder of this host, and ${why}: set BACKSPIN_STORE=s3://BUCKET/PREFIX. On one machine alone \`backspin up\` does all.`,
    );
}
