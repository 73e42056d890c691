/** A miniature of the demo in a sandbox, with what its files prove: which requests were answered how often, and what was journaled. */
import { globSync } from 'node:fs';
import { join } from 'node:path';
import type { Output } from '../../schemas/store.ts';
import { Sandbox, textOf, type SandboxOptions } from '../../cli/chaos/sandbox.ts';

/** As in `activities/gpu.ts`: a quarter more than the `slots` of the file. */
export const IN_FLIGHT = 3;

export class Miniature extends Sandbox {
  /** The last text seen of every journal; they go when their step is committed. */
  readonly #journals = new Map<string, string>();

  /** Two device groups, so that what is independent starts at once. Another experiment can take its place: the demo itself, say. */
  constructor(options: Partial<SandboxOptions> = {}) {
    super({ file: join(import.meta.dirname, 'miniature.yaml'), name: 'miniature', pools: ['cpu=2'], ...options });
  }

  protected override look(): void {
    for (const path of this.journals()) this.#journals.set(path, textOf(path) || (this.#journals.get(path) ?? ''));
  }

  /** Journal entries that are there twice, of all journals as they were last seen. */
  doubles(): string[] {
    return [...this.#journals.values()].flatMap((text) => {
      const whole = text
        .slice(0, text.lastIndexOf('\n') + 1)
        .split('\n')
        .slice(0, -1);
      const names = whole.map((line) => JSON.parse(line) as { r: string; n?: number }).map(({ r, n }) => `${r} ${n ?? 'done'}`);
      return names.filter((name, index) => names.indexOf(name) < index);
    });
  }
  /** For each operator that asked a model: requests that its step counts, that were answered, and answers that were given again. */
  asked(): { readonly counted: number; readonly answered: number; readonly again: number }[] {
    const lines = globSync(join(this.home, 'serve/*/access.jsonl')).flatMap((path) => textOf(path).split('\n').filter(Boolean));
    const requests = lines.map((line) => JSON.parse(line) as { id: string; path: string; status: number });
    const answers = requests.filter(({ id, path, status }) => !id.startsWith('probe/') && path !== '/tokenize' && status === 200);
    return [...Map.groupBy(answers, ({ id }) => id.split('/')[0]!)].map(([key, own]) => {
      const [output] = globSync(join(this.paths.folders.outputs, key.slice(0, 2), `${key}*.json`));
      const answered = new Set(own.map(({ id }) => id)).size;
      return { counted: (JSON.parse(textOf(output!)) as Output).requests, answered, again: own.length - answered };
    });
  }
}
