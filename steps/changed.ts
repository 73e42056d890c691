/** Sources that changed under an unchanged version: a stored result may be another by now, and only a person can say that it is not. */
import { BackspinError } from '../schemas/errors.ts';
import type { Output } from '../schemas/store.ts';
import type { Store } from '../store/store.ts';
import type { Resolved } from './resolved.ts';

/** Throws unless somebody has said that the sources as they are now give the same as before. Who says so in BACKSPIN_SAME says it once: the
 *  store remembers it until they change again. What an experiment had finished when other code took it over stays its own. */
export async function checkSources(
  store: Store,
  { stepKey, sources: then }: Pick<Output, 'stepKey' | 'sources'>,
  resolved: Resolved,
): Promise<void> {
  const { call, registry, sources: now, versions } = resolved;
  const changed = [...new Set([...Object.keys(then), ...Object.keys(now)])].filter((file) => then[file] !== now[file]).sort();
  if (changed.length === 0) return;
  const named = [...new Set(Object.keys(versions).map((id) => id.split('.')[0]!))];
  const others = registry.namespacesWith(changed);
  const namespaces = others.length > 0 ? others : named; // files that are gone stand behind none
  for (const namespace of saidSame())
    if (registry.namespaces.includes(namespace)) await store.putSame(namespace, registry.sourceDigest(namespace));
  const open: string[] = [];
  for (const namespace of namespaces) if ((await store.same(namespace)) !== registry.sourceDigest(namespace)) open.push(namespace);
  const own = named.filter((namespace) => open.includes(namespace));
  if (own.length === 0 || (await store.finished(resolved.experiment)).includes(stepKey)) return;
  throw new BackspinError(
    'OperatorChanged',
    `Step ${call.path} was made before ${listed(changed)} changed, under the same versions of ${own.join(', ')}: raise the \`version\` of what gives other results. If nothing does, say so once: BACKSPIN_SAME=${open.join(',')} npx backspin plan FILE, with the experiment's file.`,
  );
}

const saidSame = (): string[] => (process.env['BACKSPIN_SAME'] ?? '').split(',').map((namespace) => namespace.trim());

const SHOWN = 5;
const listed = (files: readonly string[]): string =>
  files.length <= SHOWN ? files.join(', ') : `${files.slice(0, SHOWN).join(', ')} and ${files.length - SHOWN} more`;
