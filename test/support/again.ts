/** Runs an experiment of its own to the end; then recomputes one of its steps and kills a part that works for it. */
import type { ExecutionContext, TestFn } from 'ava';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { injectFault } from '../../cli/chaos/disturb.ts';
import { parts, type PartName } from '../../cli/chaos/parts.ts';
import type { StepView, View } from '../../experiments/view.ts';
import type { Rec } from '../../recipe/define.ts';
import { openStore } from '../../store/local.ts';
import { pathsOf } from '../../store/paths.ts';
import { Miniature } from './miniature.ts';

const stepOf = (of: View, path: string): StepView => of.steps.find((one) => one.path === path)!;

export interface Killed {
  readonly part: PartName;
  /** Whether the step is in its midst. */
  readonly when: (world: Miniature, stepKey: string) => boolean | Promise<boolean>;
}
/** The subprocess of a training, an embedding or a batch of scores. */
const subprocess: Killed = { part: 'trainer', when: (world, stepKey) => parts.trainer.processes(world, stepKey).length > 0 };

export class Completed {
  readonly #world: Miniature;
  readonly #file: string;
  #view: View | undefined;

  /** Runs it before the tests, and stops everything after them. */
  constructor(test: TestFn, file: string, name: string) {
    this.#file = file;
    this.#world = new Miniature({ groups: 1 }, { file, name });
    test.before(async () => {
      await this.#world.up();
      await this.#world.launch();
      await this.#world.until(() => this.#world.completed, 1_000_000, 'the experiment is completed');
      this.#view = await this.#world.status();
    });
    test.after.always(async () => {
      await this.#world.down();
      this.#world.remove();
    });
  }

  step = (path: string): StepView => stepOf(this.#view!, path);

  async records<T>(path: string): Promise<T[]> {
    const store = await openStore(join(this.#world.home, 'store'));
    const values: T[] = [];
    for await (const record of store.read({ digest: this.step(path).output!.digest })) values.push((record as Rec<T>).value);
    return values;
  }

  /** Lets another experiment of the same file recompute a step, and kills a part in its midst: the bytes must be the same, no record and
   *  no reply journaled twice, and nothing else may run. */
  async redone(t: ExecutionContext, path: string, name: string, { part, when }: Killed = subprocess): Promise<void> {
    const world = this.#world;
    const stepKey = this.step(path).stepKey!;
    rmSync(pathsOf(join(world.home, 'store')).output(stepKey));
    await world.run('launch', this.#file, '--name', name);
    await world.until(() => when(world, stepKey), 600_000, `${path} is in its midst`);
    await injectFault(world, part, 'SIGKILL', stepKey);
    let over = false; // `until` reads the journals, which a committed step has no more
    const watched = world.run('watch', name).finally(() => (over = true));
    await world.until(() => over, 1_000_000, `${name} is over`);
    await watched;
    const again = JSON.parse(await world.run('status', name, '--json')) as View;
    t.is(stepOf(again, path).output!.digest, this.step(path).output!.digest);
    t.deepEqual(world.doubles(), []);
    t.deepEqual(
      again.steps.filter(({ cached }) => !cached).map((one) => one.path),
      [path],
    );
  }
}
