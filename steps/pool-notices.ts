/** Why a pool has no worker, in a sentence of whatever starts workers for it. Kept in the store, since that may be another host. */
import { join } from 'node:path';
import { z } from 'zod';
import type { Store } from '../store/store.ts';

const notice = z.object({ sentence: z.string().nullable() });
const fileOf = ({ blobs }: Pick<Store, 'blobs'>, pool: string) => join(blobs.paths.root, 'pools', `${pool}.notice.json`);

export async function poolNotice(store: Pick<Store, 'blobs'>, pool: string): Promise<string | null> {
  const text = (await store.blobs.read(fileOf(store, pool)))?.toString();
  return text === undefined ? null : notice.parse(JSON.parse(text)).sentence;
}

/** `sentence`: null takes it back. */
export const putPoolNotice = (store: Pick<Store, 'blobs'>, pool: string, sentence: string | null): Promise<void> =>
  store.blobs.write(fileOf(store, pool), JSON.stringify({ sentence } satisfies z.infer<typeof notice>));
