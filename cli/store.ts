/** `backspin store copy`: copies a store into a folder or into S3. */
import { rmSync } from 'node:fs';
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { copyStore } from '../store/copy.ts';
import { number } from '../schemas/units.ts';

export async function copy(from: string, to: string): Promise<number> {
  const copies = await mkdtemp(join(tmpdir(), 'backspin-copy-'));
  try {
    const done = await copyStore(from, to, copies);
    for (const line of done.left) console.error(`left behind: ${line}`);
    console.log(`Copied ${done.from.location} to ${done.to.location}: ${number(done.datasets)} datasets, ${number(done.models)} models.`);
    return done.left.length === 0 ? 0 : 1;
  } finally {
    rmSync(copies, { recursive: true, force: true });
  }
}
