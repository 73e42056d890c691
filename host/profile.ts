/** Reads the address and credentials of a Temporal server from the standard environment variables or a profile. */
import { loadClientConnectConfig } from '@temporalio/envconfig';
import { BackspinError } from '../schemas/errors.ts';

type Profile = ReturnType<typeof loadClientConnectConfig>;

/** Host name or address with an optional port. */
const ADDRESS = /^(\[[\da-f:]+\]|[^\s/:]+)(:\d+)?$/i;

/** Undefined if neither names an address. Throws `ConfigError` for unreadable settings and invalid addresses. */
export function namedServer(): { address: string; namespace: string; options: Profile['connectionOptions'] } | undefined {
  const { connectionOptions, namespace } = readProfile();
  const { address } = connectionOptions;
  if (!address) return undefined;
  if (!ADDRESS.test(address) || Number(address.split(':').at(-1)) > 65_535)
    throw new BackspinError(
      'ConfigError',
      `The Temporal address "${address}", which the environment or a profile gives, is none: write HOST:PORT, such as localhost:7233.`,
    );
  return { address, namespace: namespace ?? 'default', options: connectionOptions };
}

function readProfile(): Profile {
  try {
    return loadClientConnectConfig();
  } catch (error) {
    const file = process.env['TEMPORAL_CONFIG_FILE'] ?? "Temporal's profile file";
    // for an empty file the reader fails with an error about the missing profile
    const why = error instanceof TypeError ? 'there is no such profile' : (error as Error).message.split('\n')[0];
    throw new BackspinError(
      'ConfigError',
      `The way to a Temporal server cannot be read from the environment and ${file} (${why}): mend what it names, or leave it out.`,
      { cause: error },
    );
  }
}
