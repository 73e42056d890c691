/** A review by keys in the terminal. */
import { decide, countsOf, nextRecord, type Review, type Values } from '../../experiments/review.ts';
import type { Rec } from '../../recipe/define.ts';
import { BackspinError } from '../../schemas/errors.ts';
import { precisionText } from '../../schemas/precision.ts';
import type { Judgement, Verdict } from '../../schemas/review.ts';
import type { Store } from '../../store/store.ts';

/** What a person reviews with. */
export interface Desk {
  /** The keys that they press, one by one. */
  readonly keys: AsyncIterable<string>;
  print(text: string): void;
  show(value: Values): void;
  /** The values as the person edited them. Throws a `ConfigError` if there are none. */
  edit(value: Values): Promise<Values>;
}

const HELP = 'a approve, r reject, e edit, n next, s send, q leave';
const judgements: Readonly<Record<string, Judgement>> = { a: 'approve', r: 'reject', e: 'edit' };
const CTRL_C = '\u0003';
const CTRL_D = '\u0004';

/** Shows one record after the other. Returns the review with its verdicts, and whether the person wants it sent. */
export async function reviewByKeys(desk: Desk, store: Store, review: Review): Promise<{ readonly review: Review; readonly send: boolean }> {
  const verdicts = new Map(review.verdicts);
  const now: Review = { ...review, verdicts };
  let current = nextRecord(now);
  const show = () => {
    if (!current)
      return desk.print(`\nEvery record has a verdict: ${precisionText(countsOf(now))}. s sends the review, q leaves it for later.`);
    desk.print(
      `\n── record ${review.records.indexOf(current) + 1} of ${review.records.length}, ${verdicts.size} have a verdict ── ${HELP}`,
    );
    desk.show(current.value);
  };
  show();
  for await (const key of desk.keys) {
    if (key === 'q' || key === CTRL_C || key === CTRL_D) return { review: now, send: false };
    if (key === 's') return { review: now, send: true };
    const judgement = judgements[key];
    if (!current || (judgement === undefined && key !== 'n')) continue;
    if (judgement) {
      const decided = await judge(desk, store, now, current, judgement);
      if (!decided) continue;
      verdicts.set(current.id, decided);
    }
    current = nextRecord(now, current.id);
    show();
  }
  return { review: now, send: false };
}

/** Undefined: the decision was not taken, and the person was told why. */
async function judge(
  desk: Desk,
  store: Store,
  review: Review,
  { id, value }: Rec<Values>,
  verdict: Judgement,
): Promise<Verdict | undefined> {
  try {
    const edited = verdict === 'edit' ? { ...(await desk.edit(value)) } : null;
    await decide(store, review, id, { verdict, value: edited });
    return { of: id, verdict, note: null, value: edited };
  } catch (error) {
    if (!(error instanceof BackspinError) || error.type !== 'ConfigError') throw error;
    desk.print(error.message);
    return undefined;
  }
}
