/** Counts the endings of replies that no parser could read, so you can see why a judge drops many records. */

/** The most endings counted; endings that first appear after this many others are rare. */
const KINDS = 1000;
const SHOWN = 5;
const LONGEST = 60;

export class Endings {
  readonly #kinds = new Map<string, { readonly ending: string; count: number }>();

  add(reply: string): void {
    const ending = endingOf(reply);
    const kind = ending.replace(/\d+/g, '0');
    const counted = this.#kinds.get(kind);
    if (counted) counted.count++;
    else if (this.#kinds.size < KINDS) this.#kinds.set(kind, { ending, count: 1 });
  }
  mostFrequent(): { readonly ending: string; readonly count: number }[] {
    return [...this.#kinds.values()].toSorted((a, b) => b.count - a.count).slice(0, SHOWN);
  }
}

/** The last line, or the end of it. */
function endingOf(reply: string): string {
  const line = Array.from(reply.trim().split('\n').at(-1)!.trim());
  return line.length > LONGEST ? `…${line.slice(-LONGEST).join('')}` : line.join('');
}
