/** Which step used the results of which: the graph of an experiment's finished steps. */
import { refsIn } from '../schemas/call.ts';
import type { ExperimentRecord, Step } from '../schemas/experiment.ts';
import type { Store } from '../store/store.ts';

export interface Lineage {
  readonly nodes: readonly LineageNode[];
  /** Paths of the step that made a result, and of a step that used it. */
  readonly edges: readonly { readonly from: string; readonly to: string }[];
}
export interface LineageNode extends Pick<Step, 'path' | 'kind' | 'round' | 'arm' | 'state'> {
  /** The longest way from a step without inputs. */
  readonly depth: number;
  readonly digests: readonly string[];
}

/** A result that several steps gave comes from the first. */
export async function lineageOf(store: Store, { steps }: Pick<ExperimentRecord, 'steps'>): Promise<Lineage> {
  const makers = new Map<string, string>();
  const digests = new Map<string, string[]>();
  for (const { path, result } of steps) {
    const own = refsIn(result).map(({ digest }) => digest);
    digests.set(path, own);
    for (const digest of own) if (!makers.has(digest)) makers.set(digest, path);
  }
  const edges: { from: string; to: string }[] = [];
  for (const { path, stepKey } of steps) {
    const output = stepKey === null ? undefined : await store.output(stepKey);
    const used = new Set((output?.inputs ?? []).flatMap((digest) => makers.get(digest) ?? []));
    for (const from of used) if (from !== path) edges.push({ from, to: path });
  }
  const depths = depthsOf(
    steps.map(({ path }) => path),
    edges,
  );
  const nodes = steps.map(({ path, kind, round, arm, state }) => {
    return { path, kind, round, arm, state, depth: depths.get(path)!, digests: digests.get(path)! };
  });
  return { nodes, edges };
}

function depthsOf(paths: readonly string[], edges: Lineage['edges']): Map<string, number> {
  const depths = new Map(paths.map((path) => [path, 0]));
  // A way has fewer edges than there are steps; results that are equal by chance could form a circle.
  for (let pass = 0, changed = true; changed && pass < paths.length; pass++) {
    changed = false;
    for (const { from, to } of edges) {
      const depth = depths.get(from)! + 1;
      if (depth <= depths.get(to)! || depth > paths.length) continue;
      depths.set(to, depth);
      changed = true;
    }
  }
  return depths;
}
