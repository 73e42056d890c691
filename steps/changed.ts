/** Stops a step if sources changed without a new version: only you can tell whether its stored result is still right. */
import { BackspinError } from '../schemas/errors.ts';
import type { Output } from '../schemas/store.ts';
import type { Store } from '../store/store.ts';
import type { Resolved } from './resolved.ts';

/** Throws unless the current sources are declared to give the same results as before. BACKSPIN_SAME declares it once; the store remembers
 *  it until the sources change again. Steps that an experiment had finished before new code took it over stay valid. */
export async function checkSources(
  store: Store,
  { stepKey, sources: then }: Pick<Output, 'stepKey' | 'sources'>,
  resolved: Resolved,
): Promise<void> {
  const { call, registry, sources: now, versions } = resolved;
  const changed = [...new Set([...Object.keys(then), ...Object.keys(now)])].filter((file) => then[file] !== now[file]).sort();
  if (changed.length === 0) return;
  const named = [...new Set(Object.keys(versions).map((id) => id.split('.')[0]!))];
  const changedNamespaces = registry.namespacesWith(changed);
  const namespaces = changedNamespaces.length > 0 ? changedNamespaces : named; // deleted files belong to no namespace
  for (const namespace of declaredSame())
    if (registry.namespaces.includes(namespace)) await store.putSame(namespace, registry.sourceDigest(namespace));
  const open: string[] = [];
  for (const namespace of namespaces) if ((await store.same(namespace)) !== registry.sourceDigest(namespace)) open.push(namespace);
  const unconfirmed = named.filter((namespace) => open.includes(namespace));
  if (unconfirmed.length === 0 || (await store.finished(resolved.experiment)).includes(stepKey)) return;
  throw new BackspinError(
    'OperatorChanged',
    `Step ${call.path} was made before ${listed(changed)} changed, under the same versions of ${unconfirmed.join(', ')}: raise the \`version\` of what gives other results. If nothing does, say so once: BACKSPIN_SAME=${open.join(',')} npx backspin plan FILE, with the experiment's file.`,
  );
}

const declaredSame = (): string[] => (process.env['BACKSPIN_SAME'] ?? '').split(',').map((namespace) => namespace.trim());

const SHOWN = 5;
const listed = (files: readonly string[]): string =>
  files.length <= SHOWN ? files.join(', ') : `${files.slice(0, SHOWN).join(', ')} and ${files.length - SHOWN} more`;
