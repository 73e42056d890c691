/** Runs a worker whose activity never ends in its first attempt: `inflight-worker.ts ADDRESS QUEUE HOME`. */
import { Context } from '@temporalio/activity';
import { DefaultLogger, NativeConnection, Runtime, Worker } from '@temporalio/worker';
import { inflight } from '../../devices/inflight.ts';

export async function held(): Promise<number> {
  const { attempt } = Context.current().info;
  if (attempt === 1) await new Promise(() => {});
  return attempt;
}

if (import.meta.main) {
  Runtime.install({ logger: new DefaultLogger('ERROR') });
  const [, , address, taskQueue, home] = process.argv;
  const connection = await NativeConnection.connect({ address: address! });
  const worker = await Worker.create({
    connection,
    taskQueue: taskQueue!,
    activities: { held },
    interceptors: { activity: [inflight(home!)] },
  });
  await worker.run();
}
