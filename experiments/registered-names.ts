/** Finds the names of prompts and templates in parameters. */

/** Yields registered names: by convention, the values of `prompt`, `template`, `prompts` and `templates`. */
export function* namesIn(
  value: unknown,
  path: readonly PropertyKey[],
): Generator<{ path: readonly PropertyKey[]; kind: 'prompt' | 'template'; id: string }> {
  if (typeof value !== 'object' || value === null) return;
  for (const [key, inner] of Object.entries(value)) {
    const kind = key === 'prompt' || key === 'prompts' ? 'prompt' : key === 'template' || key === 'templates' ? 'template' : undefined;
    if (!kind) yield* namesIn(inner, [...path, key]);
    else if (typeof inner === 'string') yield { path: [...path, key], kind, id: inner };
    else if (typeof inner === 'object' && inner !== null) {
      for (const [name, id] of Object.entries(inner)) if (typeof id === 'string') yield { path: [...path, key, name], kind, id };
    }
  }
}
