/** Both kinds of stores, for tests of what a store promises wherever it is. */
import test, { type ExecutionContext } from 'ava';
import { openStore } from '../../store/local.ts';
import type { Store } from '../../store/store.ts';
import { s3Program, S3Server } from './s3.ts';
import { folder } from './store.ts';

export interface Stores {
  /** A new store. */
  newStore(): Promise<Store>;
  /** The same store, as another host or process opens it. */
  again(store: Store): Promise<Store>;
}

/** Declares a test twice: of a store in a folder, and of one in S3. The latter is skipped without a server. */
export function onStores(): (title: string, body: (t: ExecutionContext, stores: Stores) => Promise<void>) => void {
  let server: S3Server | undefined;
  if (s3Program !== undefined) {
    test.before(async () => void (server = await S3Server.start()));
    test.after.always(() => server?.kill());
  }
  const local: Stores = { newStore: () => openStore(folder()), again: (store) => openStore(store.root) };
  const remote: Stores = { newStore: () => server!.open(), again: (store) => server!.open(store.location) };
  return (title, body) => {
    test(`folder: ${title}`, (t) => body(t, local));
    (s3Program === undefined ? test.skip : test)(`S3: ${title}`, (t) => body(t, remote));
  };
}
