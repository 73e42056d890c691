/** Opens the store of a home: the one in S3 that BACKSPIN_STORE has named, or else the folder `store` in the home. */
import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { BackspinError } from '../schemas/errors.ts';
import { isThere, makeFolder, writeAtomic } from './files.ts';
import { openStore } from './local.ts';
import { s3Address, type S3Address } from './s3-address.ts';
import type { Store } from './store.ts';

/** Names the store that the home uses once BACKSPIN_STORE has named one. */
const noteOf = (home: string) => join(home, 'store.url');

/** Opens it; creates it if it does not exist. Throws `ConfigError` if the environment names another store than the home has used. */
export async function openStoreOf(home: string): Promise<Store> {
  const address = await addressOf(home);
  if (!address) return openStore(resolve(home, 'store'));
  const { openS3Store } = await import('./s3-store.ts'); // the SDK takes a tenth of a second to load
  return openS3Store(address, resolve(home, 'store-copies'), copiesLimit());
}

/** Opens a store by its folder or its address in S3. `copies`: folder for copies of what is in S3. */
export async function openStoreAt(place: string, copies: string): Promise<Store> {
  if (!place.startsWith('s3:')) return openStore(resolve(place));
  return (await import('./s3-store.ts')).openS3Store(s3Address(place), copies, copiesLimit());
}

async function addressOf(home: string): Promise<S3Address | undefined> {
  const used = noted(home);
  const named = process.env['BACKSPIN_STORE'] || undefined;
  if (named === undefined) return used === undefined ? undefined : s3Address(used);
  const address = s3Address(named);
  if (used !== undefined && used !== address.url)
    throw new BackspinError(
      'ConfigError',
      `${home} uses the store ${used}, and BACKSPIN_STORE names ${address.url}: unset it, or set BACKSPIN_HOME to another folder.`,
    );
  if (used === undefined) {
    if (await isThere(join(home, 'store', 'id')))
      throw new BackspinError(
        'ConfigError',
        `${home} has a store of its own, and BACKSPIN_STORE names ${address.url}: copy it there (\`backspin store copy ${join(home, 'store')} ${address.url}\`) and rename the folder, or set BACKSPIN_HOME to another folder.`,
      );
    await makeFolder(home);
    await writeAtomic(noteOf(home), address.url);
  }
  return address;
}

function noted(home: string): string | undefined {
  try {
    return readFileSync(noteOf(home), 'utf8').trim() || undefined;
  } catch {
    return undefined;
  }
}

/** Bytes of copies on this host; undefined: the default. */
function copiesLimit(): number | undefined {
  const text = process.env['BACKSPIN_STORE_COPIES'];
  if (!text) return undefined;
  if (!(Number(text) > 0)) throw new BackspinError('ConfigError', `BACKSPIN_STORE_COPIES is "${text}": a number of gigabytes is needed.`);
  return Number(text) * 1e9;
}
