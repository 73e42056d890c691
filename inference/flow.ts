/** How the records of several batches get under way: at most so many at once, those of one batch before those of the next. */
import { Places } from './limiter.ts';

/** A batch reads its records when its turn has come, so that those of the others need no memory; and while the last answers of one are
 *  waited for, the next has begun. */
export class Flow {
  readonly #turn = new Places((taken) => taken < 1);
  readonly #places: Places;

  /** `most`: items under way. */
  constructor(most: number) {
    this.#places = new Places((taken) => taken < most);
  }

  /** Runs `body` on every item, and tells when the last is under way. The first failure starts no more, and is thrown once none is running;
   *  so is the signal's reason. */
  async each<T>(
    read: () => Promise<readonly T[]>,
    signal: AbortSignal,
    body: (item: T) => Promise<void>,
    underWay: () => void,
  ): Promise<void> {
    const running: Promise<void>[] = [];
    let failed: { readonly error: unknown } | undefined;
    const run = async (item: T) => {
      try {
        await body(item);
      } catch (error) {
        failed ??= { error };
      } finally {
        this.#places.leave();
      }
    };
    await this.#turn.enter(signal);
    try {
      for (const item of await read()) {
        await this.#places.enter(signal);
        if (!failed) running.push(run(item));
        else {
          this.#places.leave();
          break;
        }
      }
    } catch (error) {
      failed ??= { error };
    } finally {
      this.#turn.leave();
    }
    underWay();
    await Promise.all(running);
    if (failed) throw failed.error;
  }
}
