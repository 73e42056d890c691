/** Opens a store that is a folder of this host. */
import { resolve } from 'node:path';
import { openOver } from './blob-store.ts';
import { LocalBlobs } from './blobs.ts';
import { pathsOf } from './paths.ts';
import type { Store } from './store.ts';

/** Opens the store in a folder; creates it if it does not exist. */
export const openStore = (root: string): Promise<Store> => openOver(new LocalBlobs(pathsOf(resolve(root))));
