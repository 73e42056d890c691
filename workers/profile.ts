/** The Temporal server that the standard environment or a profile names, with all that it takes to be let in. */
import { loadClientConnectConfig } from '@temporalio/envconfig';
import { BackspinError } from '../schemas/errors.ts';

type Profile = ReturnType<typeof loadClientConnectConfig>;

/** Undefined when neither gives an address. */
export function namedServer(): { address: string; namespace: string; options: Profile['connectionOptions'] } | undefined {
  const { connectionOptions, namespace } = readProfile();
  if (!connectionOptions.address) return undefined;
  return { address: connectionOptions.address, namespace: namespace ?? 'default', options: connectionOptions };
}

function readProfile(): Profile {
  try {
    return loadClientConnectConfig();
  } catch (error) {
    const file = process.env['TEMPORAL_CONFIG_FILE'] ?? "Temporal's profile file";
    throw new BackspinError('ConfigError', `${file} cannot be read (${(error as Error).message}): repair it, or remove it.`, {
      cause: error,
    });
  }
}
