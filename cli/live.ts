/** How far running steps are, read from what workers append: the journals of a map, the event file of a training. */
import { closeSync, openSync, readdirSync, readFileSync, readSync } from 'node:fs';
import { join } from 'node:path';
import type { Step } from '../schemas/experiment.ts';
import { eventOf } from '../schemas/trainer.ts';
import type { Store } from '../store/store.ts';

export interface Live {
  /** Records finished, or optimizer steps done. */
  readonly done: number;
  /** null: not known. */
  readonly of: number | null;
  readonly loss?: number;
}

interface Tail {
  offset: number;
  done: number;
}

/** Remembers how far it has read, so that looking again costs only what is new. */
export class LiveCounts {
  readonly #journals = new Map<string, Tail>();
  readonly #trainings = new Map<string, { offset: number; live: Live }>();

  of(store: Pick<Store, 'work'>, kind: Step['kind'], stepKey: string): Live | undefined {
    const folder = store.work(stepKey);
    return kind === 'train' ? this.#training(join(folder, 'run', 'events.jsonl')) : this.#records(folder);
  }

  #records(folder: string): Live | undefined {
    const slices = join(folder, 'slices');
    let names: string[];
    try {
      names = readdirSync(slices).filter((name) => name.endsWith('.jsonl'));
    } catch {
      return undefined; // nothing has begun, or it is over
    }
    let done = 0;
    for (const name of names) {
      const tail = this.#journals.get(join(slices, name)) ?? { offset: 0, done: 0 };
      const { lines, end } = linesFrom(join(slices, name), tail.offset);
      tail.done += lines.filter((line) => line.includes('"done":')).length;
      tail.offset = end;
      this.#journals.set(join(slices, name), tail);
      done += tail.done;
    }
    return { done, of: totalOf(folder) };
  }

  #training(path: string): Live | undefined {
    const before = this.#trainings.get(path) ?? { offset: 0, live: { done: 0, of: null } };
    const { lines, end } = linesFrom(path, before.offset);
    let { live } = before;
    for (const line of lines) {
      const event = eventOf(line);
      if (event?.event === 'start') live = { done: event.resumedFrom ?? 0, of: event.steps };
      if (event?.event === 'step') live = { ...live, done: event.step, loss: event.loss };
    }
    this.#trainings.set(path, { offset: end, live });
    return end === 0 ? undefined : live;
  }
}

/** Whole lines of a file behind `offset`, and where they end. Nothing, where there is no file. */
function linesFrom(path: string, offset: number): { lines: string[]; end: number } {
  let file: number;
  try {
    file = openSync(path, 'r');
  } catch {
    return { lines: [], end: offset };
  }
  try {
    const chunks: Buffer[] = [];
    const chunk = Buffer.alloc(1 << 20);
    for (let at = offset; ;) {
      const read = readSync(file, chunk, 0, chunk.length, at);
      if (read === 0) break;
      chunks.push(Buffer.from(chunk.subarray(0, read)));
      at += read;
    }
    const bytes = Buffer.concat(chunks);
    const length = bytes.lastIndexOf(0x0a) + 1;
    return { lines: length === 0 ? [] : bytes.toString('utf8', 0, length - 1).split('\n'), end: offset + length };
  } finally {
    closeSync(file);
  }
}

/** A stage writes how many records enter it; an older one did not. */
function totalOf(folder: string): number | null {
  try {
    return (JSON.parse(readFileSync(join(folder, 'work.json'), 'utf8')) as { in: number }).in;
  } catch {
    return null;
  }
}
