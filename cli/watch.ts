/** `backspin watch NAME`: draws a live tree on a terminal, or prints lines into a pipe; prints numbers and links at the end. */
import { setTimeout as wait } from 'node:timers/promises';
import { createLogUpdate } from 'log-update';
import { connect, type Temporal } from '../host/connect.ts';
import { openHome } from '../host/home-store.ts';
import { sweepOf } from '../store/sweeps.ts';
import { experimentOf, openExperiments } from '../experiments/record.ts';
import { Lines, Rates } from './terminal/lines.ts';
import { LiveCounts } from '../experiments/live.ts';
import { truncate, escapeControls } from './terminal/terminal.ts';
import { TimeLeft } from '../experiments/time-left.ts';
import { homeFolder } from '../host/home.ts';
import { openServices } from '../steps/services.ts';
import type { Store } from '../store/store.ts';
import { progressOf, type Progress } from '../experiments/progress.ts';
import { summary, tree } from './terminal/tree.ts';
import { viewOf, type View } from '../experiments/view.ts';

const EVERY = 1_000;

export async function run(name: string): Promise<number> {
  const store = await openHome();
  const sweep = await sweepOf(store, name);
  if (sweep) return (await import('./sweep.ts')).watchSweep(store, sweep);
  await experimentOf(store, name);
  const temporal = await connect();
  try {
    const live = new LiveCounts();
    const rates = new Rates(15);
    const timeLeft = timeLeftOf(store, live);
    const screen = process.stdout.isTTY ? new Screen() : new Lines();
    for (;;) {
      const progress = await progressOf(temporal, await experimentOf(store, name), () => openExperiments(store));
      const view = await viewOf(store, progress.record, live, progress.waits);
      rates.sample(view, Date.now());
      screen.show(view, progress.stale, await timeLeft.look(progress.record, view, (path) => rates.of(path)));
      if (isOver(progress)) return printEnd(view, temporal);
      await wait(EVERY);
    }
  } finally {
    await temporal.close();
  }
}

/** By plans of this home. */
const timeLeftOf = (store: Store, live: LiveCounts): TimeLeft =>
  new TimeLeft(store, live, async (config) => {
    const { plan } = await import('../plan/planner.ts');
    return (await plan(await openServices(homeFolder()), config)).steps;
  });

const isOver = ({ record, open, stale }: Progress) => record.state === 'attention' || (!open && stale === null);
const exitCodes: Partial<Record<View['state'], number>> = { completed: 0, attention: 2 };

function printEnd(view: View, { ui, namespace }: Temporal): number {
  console.log(['', ...summary(view, ui, namespace)].join('\n'));
  return exitCodes[view.state] ?? 1;
}

interface Display {
  /** `left`: seconds until the end; null: not known. */
  show(view: View, stale: string | null, left: number | null): void;
}

/** The terminal, with a default size if it reports 0 x 0. */
const sizedStdout = Object.create(process.stdout, {
  rows: { get: () => process.stdout.rows || 24 },
  columns: { get: () => process.stdout.columns || 80 },
}) as NodeJS.WriteStream;

/** Redraws the tree in place, no higher than the terminal. */
class Screen implements Display {
  readonly #redraw = createLogUpdate(sizedStdout);
  readonly #rates = new Rates(15);

  show(view: View, stale: string | null, left: number | null): void {
    const { rows, columns } = sizedStdout;
    this.#rates.sample(view, Date.now());
    const all = [
      ...tree(view, (path) => this.#rates.of(path), left),
      ...(view.notices.length > 0 ? ['', ...view.notices] : []),
      ...(stale ? ['', `Note: ${stale}.`] : []),
    ].flatMap((text) => escapeControls(text.replaceAll('\t', ' ')).split('\n'));
    const visible = all.length < rows ? all : [all[0]!, '  …', ...all.slice(-(rows - 3))];
    this.#redraw(visible.map((line) => truncate(line, columns)).join('\n'));
  }
}
