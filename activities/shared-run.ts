/** Keeps the checkpoints and events of a training in a store that other hosts read, so that another host goes on with it. */
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { TrainEvent } from '../schemas/trainer.ts';
import { ifThere, isThere } from '../store/files.ts';
import { SHARE_EVERY, type SharedWork } from '../store/shared-work.ts';

export class SharedRun {
  readonly #shared: SharedWork;
  readonly #run: string;
  readonly #rows: string;
  readonly #timer: NodeJS.Timeout;
  #pushed = 0;
  #pushing: Promise<void> = Promise.resolve();

  private constructor(shared: SharedWork, run: string, rows: string) {
    this.#shared = shared;
    this.#run = run;
    this.#rows = rows;
    this.#timer = setInterval(() => void shared.pushOwn(join(run, 'events.jsonl')).catch(() => {}), SHARE_EVERY);
    this.#timer.unref();
  }

  /** Brings the newest checkpoint of another host, if this one has no newer one for the rows in the run folder. */
  static async open(shared: SharedWork, run: string): Promise<SharedRun> {
    const rows = (await ifThere(readFile(join(run, 'rows.sha256'), 'utf8'))) ?? '';
    await shared.pullCheckpoint(run, await newestStep(run), rows);
    return new SharedRun(shared, run, rows);
  }

  /** Stores each checkpoint in the background, one at a time. While the store does not answer, the next one is tried. */
  onEvent(event: TrainEvent): void {
    if (event.event !== 'checkpoint') return;
    const { step } = event;
    this.#pushing = this.#pushing.then(() => this.#push(step)).catch(() => {});
  }

  /** Ends. `interrupted`: stores the checkpoint that the training has just written, before another host takes over. */
  async close(interrupted: boolean): Promise<void> {
    clearInterval(this.#timer);
    if (!interrupted) return;
    await this.#pushing;
    await this.#push(await newestStep(this.#run));
  }

  async #push(step: number): Promise<void> {
    if (step <= this.#pushed || (await newestStep(this.#run)) > step) return; // a newer one is next
    await this.#shared.pushCheckpoint(this.#run, step, this.#rows);
    this.#pushed = step;
  }
}

/** Step of the newest sealed checkpoint on this host; 0: none. */
async function newestStep(run: string): Promise<number> {
  const folder = join(run, 'checkpoints');
  let newest = 0;
  for (const name of (await ifThere(readdir(folder))) ?? []) {
    const step = Number(/^step-(\d+)$/.exec(name)?.[1] ?? 0);
    if (step > newest && (await isThere(join(folder, name, 'COMPLETE.json')))) newest = step;
  }
  return newest;
}
