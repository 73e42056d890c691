/** The trackers that `node setup.js --trackers` installs. */
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';

/** A Python that has them; undefined: tests that need it are skipped. */
export const trackersPython: string | undefined = (() => {
  try {
    const file = resolve(import.meta.dirname, '../../node_modules/.backspin-trackers.json');
    return (JSON.parse(readFileSync(file, 'utf8')) as { python: string }).python;
  } catch {
    return undefined;
  }
})();
