/** `backspin watch NAME`: a live tree on a terminal, lines where output is piped; the numbers and links at the end. */
import { setTimeout as wait } from 'node:timers/promises';
import { createLogUpdate } from 'log-update';
import { connect, type Temporal } from '../host/connect.ts';
import { openHome } from '../host/home-store.ts';
import { experimentOf, openExperiments } from '../experiments/record.ts';
import { Lines, Rates } from './terminal/lines.ts';
import { LiveCounts } from '../experiments/live.ts';
import { cut, shown } from './terminal/terminal.ts';
import { progressOf, type Progress } from '../experiments/progress.ts';
import { summary, tree } from './terminal/tree.ts';
import { viewOf, type View } from '../experiments/view.ts';

const EVERY = 1_000;

export async function run(name: string): Promise<number> {
  const store = await openHome();
  await experimentOf(store, name);
  const temporal = await connect();
  try {
    const live = new LiveCounts();
    const screen = process.stdout.isTTY ? new Screen() : new Lines();
    for (;;) {
      const progress = await progressOf(temporal, await experimentOf(store, name), () => openExperiments(store));
      const view = await viewOf(store, progress.record, live, progress.waits);
      screen.show(view, progress.stale);
      if (over(progress)) return end(view, temporal);
      await wait(EVERY);
    }
  } finally {
    await temporal.close();
  }
}

const over = ({ record, open, stale }: Progress) => record.state === 'attention' || (!open && stale === null);
const codes: Partial<Record<View['state'], number>> = { completed: 0, attention: 2 };

function end(view: View, { ui, namespace }: Temporal): number {
  console.log(['', ...summary(view, ui, namespace)].join('\n'));
  return codes[view.state] ?? 1;
}

interface Display {
  show(view: View, stale: string | null): void;
}

/** The terminal, with a size where it says 0 x 0. */
const sized = Object.create(process.stdout, {
  rows: { get: () => process.stdout.rows || 24 },
  columns: { get: () => process.stdout.columns || 80 },
}) as NodeJS.WriteStream;

/** Redraws in place, no higher than the terminal. */
class Screen implements Display {
  readonly #redraw = createLogUpdate(sized);
  readonly #rates = new Rates(15);

  show(view: View, stale: string | null): void {
    const { rows, columns } = sized;
    this.#rates.look(view, Date.now());
    const all = [
      ...tree(view, (path) => this.#rates.of(path)),
      ...(view.notices.length > 0 ? ['', ...view.notices] : []),
      ...(stale ? ['', `Note: ${stale}.`] : []),
    ].flatMap((text) => shown(text.replaceAll('\t', ' ')).split('\n'));
    const fitting = all.length < rows ? all : [all[0]!, '  …', ...all.slice(-(rows - 3))];
    this.#redraw(fitting.map((line) => cut(line, columns)).join('\n'));
  }
}
