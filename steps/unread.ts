/** How replies end of which nothing could be read: what a person looks at who asks why a judge drops so much. */

/** Kinds of endings that are counted; what comes after so many others is rare. */
const KINDS = 1000;
const SHOWN = 5;
const LONGEST = 60;

export class Endings {
  readonly #kinds = new Map<string, { readonly ending: string; count: number }>();

  add(reply: string): void {
    const ending = endingOf(reply);
    const kind = ending.replace(/\d+/g, '0');
    const known = this.#kinds.get(kind);
    if (known) known.count++;
    else if (this.#kinds.size < KINDS) this.#kinds.set(kind, { ending, count: 1 });
  }
  mostFrequent(): { readonly ending: string; readonly count: number }[] {
    return [...this.#kinds.values()].toSorted((a, b) => b.count - a.count).slice(0, SHOWN);
  }
}

/** The last line, or its end. */
function endingOf(reply: string): string {
  const line = Array.from(reply.trim().split('\n').at(-1)!.trim());
  return line.length > LONGEST ? `…${line.slice(-LONGEST).join('')}` : line.join('');
}
