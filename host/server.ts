/** Starts the dev server of `up`, and prepares any Temporal server for experiments. */
import { execFile } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { promisify } from 'node:util';
import { setTimeout as wait } from 'node:timers/promises';
import { Connection, isGrpcServiceError, type ConnectionOptions } from '@temporalio/client';
import { BackspinError } from '../schemas/errors.ts';
import { searchAttributes } from '../schemas/names.ts';
import { writeAtomic } from '../store/files.ts';
import { SET_UP } from './setup.ts';
import { inHome } from './home.ts';
import type { Ports } from './ports.ts';

const OLDEST = [1, 29] as const;
/** Days. The server's default is one; after that a closed experiment disappears from its UI. */
export const RETENTION_DAYS = 90;
const DAY = 86_400;
/** Code of gRPC. */
const NOT_FOUND = 5;
/** `IndexedValueType` of Temporal's protocol. */
export const attributeTypes = { KEYWORD: 2, INT: 3 } as const;
const typeNames = ['unspecified', 'Text', 'Keyword', 'Int', 'Double', 'Bool', 'Datetime', 'KeywordList'];

/** One partition per queue: with more, Temporal keeps neither order nor fairness. */
export const fairQueues = [
  'matching.useNewMatcher=true',
  'matching.enableFairness=true',
  'matching.numTaskqueueReadPartitions=1',
  'matching.numTaskqueueWritePartitions=1',
].flatMap((value) => ['--dynamic-config-value', value]);

export const serverCommand = (temporal: string, { server, ui, http, metrics }: Ports): [string, ...string[]] => [
  temporal,
  'server',
  'start-dev',
  '--ip',
  '127.0.0.1',
  '--port',
  `${server}`,
  '--ui-port',
  `${ui}`,
  '--http-port',
  `${http}`,
  '--metrics-port',
  `${metrics}`,
  '--db-filename',
  inHome('temporal.db'),
  '--log-level',
  'warn',
  ...fairQueues,
];

/** Throws if the server in this Temporal CLI is too old for priorities and fairness. */
export async function checkTemporal(temporal: string): Promise<string> {
  let text: string;
  try {
    text = (await promisify(execFile)(temporal, ['--version'])).stdout;
  } catch (error) {
    throw new BackspinError(
      'ConfigError',
      `The Temporal CLI ${temporal} does not run (${(error as Error).message.split('\n')[0]}): ${SET_UP}.`,
    );
  }
  const [, version, major, minor] = /Server ((\d+)\.(\d+)[.\d]*)/.exec(text) ?? [];
  if (version === undefined || Number(major) < OLDEST[0] || (Number(major) === OLDEST[0] && Number(minor) < OLDEST[1])) {
    throw new BackspinError(
      'ConfigError',
      `${temporal} has server ${version ?? 'of unknown version'}, needed is ${OLDEST.join('.')} or newer: ${SET_UP}, which finds or fetches one.`,
    );
  }
  return version;
}

/** Throws if another minor version made the database file. A dev server neither converts nor refuses such a file; it starts and dispatches
 *  no tasks. Records the version of a new file. */
export async function checkDatabase(version: string): Promise<void> {
  const [file, note] = [inHome('temporal.db'), inHome('temporal.version')];
  const minor = (text: string) => text.split('.').slice(0, 2).join('.');
  // a power failure may leave this file empty
  const [noted] = /^\d+\.\d+.*/.exec(existsSync(note) ? readFileSync(note, 'utf8') : '') ?? [];
  const made = existsSync(file) ? (noted ?? version) : version;
  if (minor(made) !== minor(version)) {
    throw new BackspinError(
      'WrongVersion',
      `${file} was made by Temporal server ${made}, and this is ${version}, which cannot read it: move it away together with ${note} (its -wal and -shm files too), then run this again. Results are in the store: launching an experiment again takes them from there.`,
    );
  }
  if (made !== noted) await writeAtomic(note, made);
}

/** Resolves once a server answers at this address. */
export async function answers(options: ConnectionOptions, signal: AbortSignal): Promise<void> {
  for (;;) {
    signal.throwIfAborted();
    try {
      await (await Connection.connect({ ...options, connectTimeout: 1_000 })).close();
      return;
    } catch {
      await wait(50, undefined, { signal });
    }
  }
}

export async function requireAnswer(options: ConnectionOptions): Promise<void> {
  try {
    await answers(options, AbortSignal.timeout(5_000));
  } catch {
    throw new BackspinError(
      'ServerDown',
      `No Temporal server answers at ${options.address}, which the environment or a Temporal profile names: start it, or unset TEMPORAL_ADDRESS to use one of our own.`,
    );
  }
}

/** Throws unless the server answers and has the namespace. */
export async function requireServer(options: ConnectionOptions, namespace: string): Promise<void> {
  const { address } = options;
  await requireAnswer(options);
  await working(options, namespace).catch((error: unknown) => {
    if (!isGrpcServiceError(error) || error.code !== NOT_FOUND) throw error;
    throw new BackspinError(
      'ServerDown',
      `The Temporal server at ${address} has no namespace ${namespace}: \`backspin setup-server\` makes it.`,
      { cause: error },
    );
  });
}

/** Rejects if the server answers but dispatches no tasks. On a badly overloaded machine the dev server's database can stay interrupted for
 *  good. */
export async function working(options: ConnectionOptions, namespace: string): Promise<void> {
  const connection = await Connection.connect({ ...options, connectTimeout: 5_000 });
  try {
    await connection.withDeadline(Date.now() + 5_000, () => connection.workflowService.describeNamespace({ namespace }));
  } finally {
    await connection.close();
  }
}

/** Raises the retention of our own server, and adds the search attributes to any server. Throws if one exists with another type. */
export async function prepare(options: ConnectionOptions, namespace: string, own: boolean): Promise<void> {
  const connection = await Connection.connect(options);
  try {
    if (own && (await retentionDays(connection, namespace)) < RETENTION_DAYS) {
      await connection.workflowService.updateNamespace({
        namespace,
        config: { workflowExecutionRetentionTtl: { seconds: (RETENTION_DAYS * DAY) as never } },
      });
    }
    const wanted = Object.entries(searchAttributes).map(([name, type]) => [name, attributeTypes[type]]);
    await connection.operatorService.addSearchAttributes({
      namespace,
      searchAttributes: Object.fromEntries(wanted) as Record<string, number>,
    });
    const faults = await attributeFaults(connection, namespace); // Temporal silently ignores a request with another type
    if (faults.length > 0)
      throw new BackspinError(
        'SearchAttribute',
        `${faults.join('\n')}\nRemove it (\`temporal operator search-attribute remove --name NAME\`) or use another namespace, then run this again.`,
      );
  } finally {
    await connection.close();
  }
}

export async function retentionDays(connection: Connection, namespace: string): Promise<number> {
  const { config } = await connection.workflowService.describeNamespace({ namespace });
  return Number(config?.workflowExecutionRetentionTtl?.seconds ?? 0) / DAY;
}

/** Problems with the search attributes of a namespace, one sentence each. */
export async function attributeFaults(connection: Connection, namespace: string): Promise<string[]> {
  const { customAttributes } = await connection.operatorService.listSearchAttributes({ namespace });
  return Object.entries(searchAttributes).flatMap(([name, type]) => {
    const given = customAttributes?.[name];
    if (given === undefined) return [`The namespace ${namespace} has no search attribute ${name}.`];
    return Number(given) === attributeTypes[type]
      ? []
      : [
          `The search attribute ${name} of the namespace ${namespace} is of type ${typeNames[Number(given)]}, needed is ${typeNames[attributeTypes[type]]}.`,
        ];
  });
}
