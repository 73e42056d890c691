/** Starts and stops a worker of any kind: connects it to Temporal, and fails the attempts that dead workers left. */
import { writeSync } from 'node:fs';
import { flushCompileCache } from 'node:module';
import { Client, Connection } from '@temporalio/client';
import type { DataConverter } from '@temporalio/common';
import { NativeConnection, Runtime, type Worker } from '@temporalio/worker';
import { openServices, type Services } from '../steps/services.ts';
import { failDeadAttempts } from '../devices/inflight.ts';
import { workerLogger } from './log.ts';
import { exporter, metricsOf, withSpans } from './metrics.ts';
import { LOW_WATER } from '../store/store.ts';
import { dataConverter } from '../host/payload-codec.ts';
import { namedServer } from '../host/profile.ts';

export interface WorkerContext {
  readonly services: Services;
  readonly connection: NativeConnection;
  /** Opens another connection to the same server. */
  connect(): Promise<NativeConnection>;
  readonly client: Client;
  readonly namespace: string;
  readonly dataConverter: DataConverter;
  /** Sends the last spans. */
  close(): Promise<void>;
}

/** Connects, and fails the attempts of dead workers of this host, so the server retries them at once. */
export async function openWorker(): Promise<WorkerContext> {
  const bindAddress = process.env['BACKSPIN_METRICS'];
  Runtime.install({
    logger: workerLogger(),
    shutdownSignals: ['SIGTERM', 'SIGINT'],
    ...(bindAddress && { telemetryOptions: exporter(bindAddress) }),
  });
  const metrics = metricsOf(bindAddress ? Runtime.instance().metricMeter : undefined);
  const traces = isTraced() ? (await import('./traces.ts')).openTracing() : undefined; // most workers need none of its packages
  const lowWater = Number(process.env['BACKSPIN_LOW_WATER'] || LOW_WATER);
  const services = await openServices(required('BACKSPIN_HOME'), {
    lowWater,
    build: required('BACKSPIN_BUILD'),
    launchedOnly: true,
    metrics: traces ? withSpans(metrics, traces) : metrics,
    traces,
  });
  const namespace = process.env['TEMPORAL_NAMESPACE'] ?? 'default';
  // A profile's keys and certificates are for the server that it names, not for our own.
  const named = process.env['BACKSPIN_OWN_SERVER'] ? undefined : namedServer();
  const options = named?.options ?? { address: required('TEMPORAL_ADDRESS') };
  const connect = () => NativeConnection.connect(options);
  const connection = await connect();
  const converter = dataConverter();
  const client = new Client({ connection: await Connection.connect(options), namespace, dataConverter: converter });
  await failDeadAttempts(client, services.home);
  return { services, connection, connect, client, namespace, dataConverter: converter, close: async () => traces?.close() };
}

const isTraced = (): boolean =>
  ['OTEL_EXPORTER_OTLP_ENDPOINT', 'OTEL_EXPORTER_OTLP_TRACES_ENDPOINT'].some((name) => Boolean(process.env[name]));

interface Closable {
  close(): Promise<void>;
}

function exitAfter(milliseconds: number, signal: string): void {
  const exit = () => {
    process.stderr.write(`${new Date().toISOString()} not at its end ${milliseconds / 1000} s after ${signal}: it exits\n`);
    process.exit(70);
  };
  setTimeout(exit, milliseconds).unref();
}

export function required(name: string): string {
  const value = process.env[name];
  if (value) return value;
  process.stderr.write(`${name} is not set: workers are started by \`backspin up\`.\n`);
  process.exit(64);
}

/** Milliseconds from a signal to the end of the process. `up` waits less; whoever else sends a signal may wait for ever. */
const ENDS_WITHIN = 30_000;

/** Runs until a signal. Tells the supervisor on stdout when it polls. If something holds up its end, the process exits nevertheless:
 *  another worker takes over what it leaves. */
export async function runWorkers(
  workers: readonly Pick<Worker, 'run'>[],
  site: { readonly connection: Closable; readonly client: { readonly connection: Closable }; close?(): Promise<void> },
  endsWithin = Number(process.env['BACKSPIN_DRAIN']) || ENDS_WITHIN,
): Promise<void> {
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => exitAfter(endsWithin, signal));
  const running = Promise.all(workers.map((worker) => worker.run()));
  writeSync(1, `${JSON.stringify({ ready: true })}\n`);
  flushCompileCache(); // for the threads of this worker, and for the next one if this one is killed
  try {
    await running;
  } finally {
    await site.close?.();
    await site.connection.close();
    await site.client.connection.close();
  }
}
