/** Opens the store of this home. */
import { openStoreOf } from '../store/open.ts';
import type { Store } from '../store/store.ts';
import { homeFolder } from './home.ts';

export const openHome = (): Promise<Store> => openStoreOf(homeFolder());
