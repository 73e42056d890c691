/** Finds the file and line that a record comes from. Sources report it for their records; all other records descend from those. */
import { isRef, refsIn } from '../schemas/call.ts';
import type { Output } from '../schemas/store.ts';
import type { Store } from '../store/store.ts';

/** Schema of a dataset that a source writes beside its result: record id and place. It is not part of the result. */
export const ORIGINS = 'backspin/origins@1';

/** Returns the known places of these records. `outputs`: outputs of an experiment's steps in the order of their completion, so one pass in
 *  reverse order finds all ancestors. */
export async function originsOf(store: Store, outputs: readonly Output[], ids: Iterable<string>): Promise<Map<string, string>> {
  const locations = new Map<string, string>();
  /** Ids to look for -> requested ids that descend from them. */
  const requestedBy = new Map<string, string[]>([...ids].map((id) => [id, [id]]));
  const resolved = () => [...requestedBy.values()].flat().every((id) => locations.has(id));
  const look = async (output: Output) => {
    if (!output.origins) return;
    for await (const { id, value } of store.read(output.origins))
      for (const asked of requestedBy.get(id) ?? []) if (!locations.has(asked)) locations.set(asked, value as string);
  };
  for (const output of outputs) await look(output);
  for (const output of outputs.toReversed()) {
    if (resolved()) break;
    if (output.origins) await look(output);
    else for (const ref of refsIn(output.result)) if (isRef(ref) && ref.kind === 'dataset' && (await store.has(ref))) await parents(ref);
  }
  return locations;

  async function parents(ref: Parameters<Store['read']>[0]): Promise<void> {
    for await (const { id, from } of store.heads(ref)) {
      const asked = requestedBy.get(id);
      if (asked) for (const parent of from) requestedBy.set(parent, [...(requestedBy.get(parent) ?? []), ...asked]);
    }
  }
}
