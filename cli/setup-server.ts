/** `backspin setup-server`: prepares a Temporal server for experiments: the namespace, its retention and search attributes; before that, with
 *  `--schema`, its databases in PostgreSQL. */
import { BackspinError } from '../schemas/errors.ts';
import { setUpNamespace } from '../host/namespace.ts';
import { namedServer } from '../host/profile.ts';
import { makeSchema } from '../host/schema.ts';
import { requireAnswer, RETENTION_DAYS } from '../host/server.ts';

interface Options {
  readonly schema?: boolean;
  /** Days. */
  readonly retention?: number;
}

export async function run({ schema = false, retention = RETENTION_DAYS }: Options): Promise<void> {
  if (schema) return makeSchema(console.log);
  const server = namedServer();
  if (!server)
    throw new BackspinError(
      'ConfigError',
      'No Temporal server is named: set TEMPORAL_ADDRESS or a Temporal profile. The server that `backspin up` starts needs no set-up.',
    );
  await requireAnswer(server.options);
  await setUpNamespace(server.options, server.namespace, retention, console.log);
}
