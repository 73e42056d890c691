/** Runs an experiment of its own to the end; then recomputes one of its steps and kills the step's subprocess. */
import type { ExecutionContext, TestFn } from 'ava';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { injectFault } from '../../cli/chaos/disturb.ts';
import { parts } from '../../cli/chaos/parts.ts';
import type { StepView, View } from '../../experiments/view.ts';
import type { Rec } from '../../recipe/define.ts';
import { openStore } from '../../store/local.ts';
import { pathsOf } from '../../store/paths.ts';
import { Miniature } from './miniature.ts';

const stepOf = (of: View, path: string): StepView => of.steps.find((one) => one.path === path)!;

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

  /** Lets another experiment of the same file recompute a step, and kills the subprocess: the bytes must be the same, and nothing else
   *  may run. */
  async redone(t: ExecutionContext, path: string, name: string): Promise<void> {
    const world = this.#world;
    const stepKey = this.step(path).stepKey!;
    rmSync(pathsOf(join(world.home, 'store')).output(stepKey));
    await world.run('launch', this.#file, '--name', name);
    await world.until(() => parts.trainer.processes(world, stepKey).length > 0, 600_000, 'its child has begun');
    await injectFault(world, 'trainer', 'SIGKILL', stepKey);
    await world.run('watch', name);
    const again = JSON.parse(await world.run('status', name, '--json')) as View;
    t.is(stepOf(again, path).output!.digest, this.step(path).output!.digest);
    t.deepEqual(
      again.steps.filter(({ cached }) => !cached).map((one) => one.path),
      [path],
    );
  }
}
