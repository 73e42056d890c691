/** Which file and line a record comes from. Sources say it of theirs; every other record is made of theirs. */
import { isRef, refsIn } from '../schemas/call.ts';
import type { Output } from '../schemas/store.ts';
import type { Store } from '../store/store.ts';

/** Of a dataset beside that of a source: the ids of its records, and where each comes from. It is no part of what the source gives. */
export const ORIGINS = 'backspin/origins@1';

/** Where the records with these ids come from, as far as that is known. `outputs`: of the steps of an experiment, in the order in which
 *  they were done, so one look at each finds the records that another was made of. */
export async function originsOf(store: Store, outputs: readonly Output[], ids: Iterable<string>): Promise<Map<string, string>> {
  const found = new Map<string, string>();
  /** Ids that are looked for -> ids that were asked for. */
  const wanted = new Map<string, string[]>([...ids].map((id) => [id, [id]]));
  const resolved = () => [...wanted.values()].flat().every((id) => found.has(id));
  const look = async (output: Output) => {
    if (!output.origins) return;
    for await (const { id, value } of store.read(output.origins))
      for (const asked of wanted.get(id) ?? []) if (!found.has(asked)) found.set(asked, value as string);
  };
  for (const output of outputs) await look(output);
  for (const output of outputs.toReversed()) {
    if (resolved()) break;
    if (output.origins) await look(output);
    else for (const ref of refsIn(output.result)) if (isRef(ref) && ref.kind === 'dataset' && (await store.has(ref))) await parents(ref);
  }
  return found;

  async function parents(ref: Parameters<Store['read']>[0]): Promise<void> {
    for await (const { id, from } of store.read(ref)) {
      const asked = wanted.get(id);
      if (asked) for (const parent of from) wanted.set(parent, [...(wanted.get(parent) ?? []), ...asked]);
    }
  }
}
