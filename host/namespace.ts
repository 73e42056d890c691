/** Makes a namespace of a Temporal server, and keeps closed experiments in it for long enough. */
import { setTimeout as delay } from 'node:timers/promises';
import { Connection, isGrpcServiceError, type ConnectionOptions } from '@temporalio/client';
import { BackspinError } from '../schemas/errors.ts';
import { prepare, retentionDays } from './server.ts';

/** Codes of gRPC. */
const [NOT_FOUND, ALREADY_EXISTS, PERMISSION_DENIED, UNIMPLEMENTED] = [5, 6, 7, 12];
const DAY = 86_400;
/** Milliseconds in which all parts of a server know a new namespace. */
const KNOWN_WITHIN = 60_000;

/** Makes the namespace unless there is one, raises its retention to so many days, and adds the search attributes. Safe to repeat. */
export async function setUpNamespace(
  options: ConnectionOptions,
  namespace: string,
  days: number,
  say: (line: string) => void,
): Promise<void> {
  const connection = await Connection.connect(options);
  const workflowExecutionRetentionTtl = { seconds: (days * DAY) as never };
  try {
    const made = await connection.workflowService
      .registerNamespace({ namespace, workflowExecutionRetentionPeriod: workflowExecutionRetentionTtl })
      .then(() => true)
      .catch((error: unknown) => {
        if (hasCode(error, ALREADY_EXISTS)) return false;
        throw hasCode(error, PERMISSION_DENIED, UNIMPLEMENTED) ? elsewhere(options, namespace, days) : error;
      });
    if (made) say(`The namespace ${namespace} is made; it keeps closed experiments for ${days} days.`);
    await whenKnown(() => prepare(options, namespace, false));
    const kept = await whenKnown(() => retentionDays(connection, namespace));
    if (kept < days) await connection.workflowService.updateNamespace({ namespace, config: { workflowExecutionRetentionTtl } });
    if (!made)
      say(
        `The namespace ${namespace} keeps closed experiments for ${Math.max(kept, days)} days${kept < days ? ` (before: ${kept})` : ''}.`,
      );
    say('Its search attributes are all there.');
  } finally {
    await connection.close();
  }
}

/** A new namespace is unknown to parts of the server for some seconds. */
async function whenKnown<T>(work: () => Promise<T>): Promise<T> {
  for (const end = performance.now() + KNOWN_WITHIN; ; await delay(500)) {
    try {
      return await work();
    } catch (error) {
      if (!hasCode(error, NOT_FOUND) || performance.now() > end) throw error;
    }
  }
}

const hasCode = (error: unknown, ...codes: readonly number[]): boolean => isGrpcServiceError(error) && codes.includes(error.code);

const elsewhere = ({ address }: ConnectionOptions, namespace: string, days: number): BackspinError =>
  new BackspinError(
    'Refused',
    `The Temporal server at ${address} lets nobody make a namespace this way, as Temporal Cloud does: make ${namespace} in its UI or with \`tcld\`, with a retention of ${days} days, and add the search attributes BackspinExperiment, BackspinRecipe and BackspinState (Keyword) and BackspinRound (Int).`,
  );
