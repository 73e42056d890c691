/** An experiment of its own through everything; and a step of it that is made anew, and its child killed on the way. */
import type { ExecutionContext, TestFn } from 'ava';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { hit } from '../../cli/chaos/disturb.ts';
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

  /** Runs it before the tests, and takes it down behind them. */
  constructor(test: TestFn, file: string, name: string) {
    this.#file = file;
    this.#world = new Miniature({ groups: 1 }, { file, name });
    test.before(async () => {
      await this.#world.up();
      await this.#world.launch();
      await this.#world.until(() => this.#world.completed, 300_000, 'the experiment is completed');
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

  /** Has another experiment of the same file make a step anew, and kills its child: it ends with the same bytes, and nothing else runs. */
  async redone(t: ExecutionContext, path: string, name: string): Promise<void> {
    const world = this.#world;
    const stepKey = this.step(path).stepKey!;
    rmSync(pathsOf(join(world.home, 'store')).output(stepKey));
    await world.run('launch', this.#file, '--name', name);
    await world.until(() => parts.trainer.processes(world, stepKey).length > 0, 60_000, 'its child has begun');
    await hit(world, 'trainer', 'SIGKILL', stepKey);
    await world.run('watch', name);
    const again = JSON.parse(await world.run('status', name, '--json')) as View;
    t.is(stepOf(again, path).output!.digest, this.step(path).output!.digest);
    t.deepEqual(
      again.steps.filter(({ cached }) => !cached).map((one) => one.path),
      [path],
    );
  }
}
