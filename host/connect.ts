/** Connects to Temporal: to the server of this home's `up`, or to the one that the environment or a profile names. */
import { Client, Connection, type ConnectionOptions } from '@temporalio/client';
import { BackspinError } from '../schemas/errors.ts';
import { dataConverter } from './payload-codec.ts';
import { namedServer } from './profile.ts';
import { currentUp, homeFolder } from './home.ts';

/** Milliseconds for a healthy server to answer. Callers that can go on without an answer pass less. */
const DEADLINE = 5_000;
const SHORT = 1_500;

export interface Temporal {
  readonly client: Client;
  readonly address: string;
  readonly namespace: string;
  /** Address of the server's UI; null if unknown. */
  readonly ui: string | null;
  close(): Promise<void>;
}

/** Connects. Throws an error with a sentence if there is no server, or if it does not answer. */
export async function connect(within: number = DEADLINE): Promise<Temporal> {
  const up = currentUp();
  const named = namedServer();
  const address = up?.address ?? named?.address;
  if (address === undefined)
    throw new BackspinError('NotUp', `Nothing is up in ${homeFolder()}, and no Temporal server is named: run \`backspin up\`.`);
  const namespace = up?.namespace ?? named!.namespace;
  const way = up
    ? `see logs/temporal.log in ${homeFolder()}, or run \`backspin down\` and \`backspin up\``
    : 'start it, or unset TEMPORAL_ADDRESS to use one of our own';
  const connection = await dial(address === named?.address ? named.options : { address }, within, way);
  return {
    client: new Client({ connection, namespace, dataConverter: dataConverter() }),
    address,
    namespace,
    ui: up?.uiAddress ?? null,
    close: () => connection.close(),
  };
}

/** Connects likewise, but returns the sentence instead of throwing it. Callers then read the store. */
export async function tryConnect(): Promise<Temporal | string> {
  if (!currentUp() && !namedServer())
    return `nothing is up in ${homeFolder()}: these are the steps that the store has. \`backspin up\` goes on with them`;
  try {
    return await connect(SHORT);
  } catch (error) {
    if (!(error instanceof BackspinError)) throw error;
    return `${error.message.replace(/\.$/, '')}. These are the steps that the store has`;
  }
}

async function dial(options: ConnectionOptions, within: number, way: string): Promise<Connection> {
  try {
    return await Connection.connect({ ...options, connectTimeout: within });
  } catch (error) {
    const why = (error as Error).message.split('\n')[0];
    throw new BackspinError('ServerDown', `No Temporal server answers at ${options.address} (${why}): ${way}.`);
  }
}
