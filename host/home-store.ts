/** Opens the store of this home. */
import { openStore } from '../store/local.ts';
import type { Store } from '../store/store.ts';
import { inHome } from './home.ts';

export const openHome = (): Promise<Store> => openStore(inHome('store'));
