/** `backspin track NAME --to TRACKER`: writes the curves of trainings and the metrics of rounds into an experiment tracker. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as wait } from 'node:timers/promises';
import { currentRecord } from '../experiments/current.ts';
import { Points, type Point } from '../experiments/points.ts';
import { experimentOf } from '../experiments/record.ts';
import { trainerFolder } from '../devices/python.ts';
import { openHome } from '../host/home-store.ts';
import { BackspinError } from '../schemas/errors.ts';
import { isClosed } from '../schemas/experiment.ts';
import { number } from '../schemas/units.ts';

interface Options {
  /** The tracker, and the package that has it. */
  readonly to: 'tensorboard' | 'trackio' | 'wandb' | 'mlflow';
  readonly project: string;
  readonly folder: string;
  readonly python: string;
  readonly follow?: boolean;
}

/** Milliseconds between two looks. */
const EVERY = 2_000;
/** Exit code of the writer without the tracker's package. */
const NO_PACKAGE = 69;

export async function run(name: string, { follow = false, ...options }: Options): Promise<void> {
  const store = await openHome();
  let record = await currentRecord(await experimentOf(store, name));
  const points = new Points(store);
  const tracker = new Tracker(name, options);
  try {
    for (;;) {
      for await (const some of points.of(record)) await tracker.write(some);
      if (!follow || isClosed(record)) break;
      await wait(EVERY);
      record = await currentRecord(await experimentOf(store, name));
    }
    await tracker.close();
  } finally {
    tracker.stop();
  }
  console.log(`${tracker.summary()} of ${name} in ${placeOf(options)}.`);
}

const placeOf = ({ to, project, folder }: Options): string =>
  to === 'tensorboard' ? `${folder}: look at them with \`tensorboard --logdir ${folder}\`` : `the project ${project} of ${to}`;

/** `trainer/backspin_track.py`, under the Python that has the tracker. */
class Tracker {
  readonly #options: Options;
  readonly #child: ChildProcess;
  readonly #answers: AsyncIterator<string>;
  readonly #exited: Promise<number | null>;
  #errors = '';
  #written = 0;
  #given = 0;

  constructor(name: string, options: Options) {
    this.#options = options;
    const { to, project, folder, python } = options;
    const script = join(trainerFolder, 'backspin_track.py');
    const where = ['--project', project, '--group', name, '--folder', resolve(folder)];
    this.#child = spawn(python, [script, to, ...where], { stdio: 'pipe' });
    this.#exited = once(this.#child, 'close').then(
      ([code]) => code as number | null,
      (error: Error) => {
        this.#errors += error.message;
        return null;
      },
    );
    this.#child.stdin!.on('error', () => {}); // it has ended: its exit code says why
    this.#child.stderr!.on('data', (text) => (this.#errors = (this.#errors + String(text)).slice(-10_000)));
    this.#answers = createInterface({ input: this.#child.stdout! })[Symbol.asyncIterator]();
  }

  /** Returns when the tracker has the points. Throws `ConfigError` if it fails. */
  async write(points: readonly Point[]): Promise<void> {
    if (points.length === 0) return;
    this.#child.stdin!.write(`${points.map((point) => JSON.stringify(point)).join('\n')}\n\n`);
    const { value } = (await this.#answers.next()) as { value?: string };
    if (value === undefined) throw await this.#failure();
    this.#written += Number(value);
    this.#given += points.reduce((sum, { metrics }) => sum + Object.keys(metrics).length, 0);
  }

  async close(): Promise<void> {
    this.#child.stdin!.end();
    if ((await this.#exited) !== 0) throw await this.#failure();
  }

  stop(): void {
    this.#child.kill();
  }

  summary(): string {
    const before = this.#given - this.#written;
    return `${number(this.#written)} new numbers${before > 0 ? `, besides ${number(before)} that were there,` : ''}`;
  }

  async #failure(): Promise<BackspinError> {
    const { to, python } = this.#options;
    const code = await this.#exited;
    const why = this.#errors.trim().split('\n').at(-1);
    if (code === NO_PACKAGE)
      return new BackspinError(
        'ConfigError',
        `${python} has no ${to} (${why}): make an environment with it, \`python3 -m venv FOLDER && FOLDER/bin/pip install ${to}\`, and name its Python: --python FOLDER/bin/python.`,
      );
    return new BackspinError(
      'ConfigError',
      `${to} did not take what was measured (${why}): mend that, then track again: nothing comes twice.`,
    );
  }
}
