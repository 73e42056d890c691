/** `backspin watch NAME`: a live tree on a terminal, a line for each change where output is piped; the numbers and links at the end. */
import { setTimeout as wait } from 'node:timers/promises';
import { connect, type Temporal } from './connect.ts';
import { experimentOf, openHome } from './home-store.ts';
import { LiveCounts } from './live.ts';
import { progressOf, type Progress } from './progress.ts';
import { about, summary, tree } from './tree.ts';
import { viewOf, type View } from './view.ts';

const EVERY = 1_000;

export async function run(name: string): Promise<number> {
  const store = await openHome();
  await experimentOf(store, name);
  const temporal = await connect();
  try {
    const live = new LiveCounts();
    const screen = process.stdout.isTTY ? new Screen() : new Lines();
    for (;;) {
      const progress = await progressOf(temporal, await experimentOf(store, name));
      const view = await viewOf(store, progress.record, live, progress.held);
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

/** Redraws in place, no higher than the terminal. */
class Screen implements Display {
  #drawn = 0;
  /** A few looks at each running step: its rate is that between the oldest and the newest. */
  readonly #looks = new Map<string, { at: number; done: number }[]>();

  show(view: View, stale: string | null): void {
    const rows = process.stdout.rows || 24;
    const columns = process.stdout.columns || 80; // some terminals say 0
    for (const { path, live } of view.steps)
      if (live) this.#looks.set(path, [...(this.#looks.get(path) ?? []), { at: performance.now(), done: live.done }].slice(-15));
    const all = [...tree(view, (path) => this.#rate(path)), ...(stale ? ['', `Note: ${stale}.`] : [])];
    const fitting = all.length < rows ? all : [all[0]!, '  …', ...all.slice(-(rows - 3))];
    const text = fitting.map((line) => (line.length < columns ? line : `${line.slice(0, columns - 2)}…`)).join('\n');
    process.stdout.write(`${this.#drawn > 0 ? `\x1b[${this.#drawn}A\r\x1b[J` : ''}${text}\n`);
    this.#drawn = fitting.length;
  }

  #rate(path: string): number | undefined {
    const looks = this.#looks.get(path) ?? [];
    const [first, last] = [looks[0], looks.at(-1)];
    return first && last && last.at > first.at ? (1000 * (last.done - first.done)) / (last.at - first.at) : undefined;
  }
}

/** One line for each step that changes its state, and for each change of the experiment's. */
class Lines implements Display {
  readonly #said = new Map<string, string>();

  show(view: View, stale: string | null): void {
    for (const step of view.steps)
      this.#say(step.path, step.state, `${step.path} ${step.state}${step.state === 'completed' ? `: ${about(step)}` : ''}`);
    this.#say(
      '',
      `${view.state}/${view.round}`,
      `${view.experiment} ${view.state}${view.round === null ? '' : `, round ${view.round}`}${view.failure ? `: ${view.failure}` : ''}`,
    );
    this.#say('stale', stale ?? '', stale === null ? 'the orchestrator answers' : `note: ${stale}`, stale === null);
  }

  #say(what: string, state: string, line: string, quietAtFirst = false): void {
    const before = this.#said.get(what);
    this.#said.set(what, state);
    if (before !== state && !(before === undefined && quietAtFirst)) console.log(`${new Date().toTimeString().slice(0, 8)} ${line}`);
  }
}
