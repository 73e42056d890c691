/** Keeps what people decide about records until a review is sent: a file for each record, so that several people may decide at once. */
import { join } from 'node:path';
import { verdict, type Verdict } from '../schemas/review.ts';
import { damaged } from './datasets.ts';
import type { Store } from './store.ts';

/** Is stored when it resolves, in place of an earlier verdict on the record. */
export async function putVerdict({ blobs }: Store, digest: string, decided: Verdict): Promise<void> {
  await blobs.write(join(blobs.paths.review(digest), `${decided.of}.json`), JSON.stringify(decided));
}

/** By id of the record. Throws `ArtifactDamaged`. */
export async function verdictsOf({ blobs }: Store, digest: string): Promise<ReadonlyMap<string, Verdict>> {
  const verdicts = new Map<string, Verdict>();
  for (const { path } of await blobs.list(blobs.paths.review(digest))) {
    const text = await blobs.read(path);
    if (!text) continue;
    const decided = verdict.safeParse(JSON.parse(text.toString()));
    if (!decided.success) throw damaged(blobs.nameOf(path), 'is no verdict of a review');
    verdicts.set(decided.data.of, decided.data);
  }
  return verdicts;
}
