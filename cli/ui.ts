/** `backspin ui`: serves pages of experiments and their records on this machine until it is interrupted. Needs no Temporal server. */
import { once } from 'node:events';
import { openHome } from '../host/home-store.ts';
import { servePages } from '../pages/serve.ts';

export async function run({ port = 0 }: { port?: number }): Promise<void> {
  const store = await openHome();
  const serving = await servePages(store, port);
  console.log(
    `The pages of ${store.location} are at\n  ${serving.address}\nWhoever has this address can read all records. Ctrl-C ends it.`,
  );
  await Promise.race(['SIGINT', 'SIGTERM'].map((signal) => once(process, signal)));
  await serving.close();
}
