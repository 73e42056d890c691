/** Lists the differences between two configurations, key by key. */

/** Returns lines such as `parameters.threshold: 4 -> 5`, sorted by key; `absent` stands for a missing key. */
export function differences(before: unknown, after: unknown): string[] {
  const [old, now] = [flatten(before), flatten(after)];
  const keys = [...new Set([...old.keys(), ...now.keys()])].toSorted();
  return keys
    .filter((key) => old.get(key) !== now.get(key))
    .map((key) => `${key}: ${old.get(key) ?? 'absent'} -> ${now.get(key) ?? 'absent'}`);
}

function flatten(value: unknown, path = '', into = new Map<string, string>()): Map<string, string> {
  const entries = typeof value === 'object' && value !== null ? Object.entries(value) : [];
  if (entries.length === 0) into.set(path, JSON.stringify(value) ?? 'absent');
  for (const [key, inner] of entries) if (inner !== undefined) flatten(inner, path === '' ? key : `${path}.${key}`, into);
  return into;
}
