/** Reviews as records of Argilla, with the question `verdict` and, for edits, a question `edited_FIELD` for each field. */
import { z } from 'zod';
import { BackspinError } from '../schemas/errors.ts';
import { judgement, type Judgement, type Verdict } from '../schemas/review.ts';
import type { Review, Values } from './review.ts';

const EDITED = 'edited_';

/** What `rg.Record.from_dict` reads. Verdicts so far are suggestions. */
export function argillaRecords({ experiment, step, records, verdicts }: Review): object[] {
  const suggestion = (value: unknown) => ({ value, score: null, agent: 'backspin' });
  return records.map(({ id, value }) => {
    const decided = verdicts.get(id);
    const changed = Object.entries(decided?.value ?? {}).filter(([field, now]) => textOf(now) !== textOf(value[field]));
    return {
      id,
      fields: Object.fromEntries(Object.entries(value).map(([field, one]) => [field, textOf(one)])),
      metadata: { experiment, step },
      suggestions: {
        ...(decided && { verdict: suggestion(decided.verdict) }),
        ...(decided?.note && { note: suggestion(decided.note) }),
        ...Object.fromEntries(changed.map(([field, now]) => [`${EDITED}${field}`, suggestion(textOf(now))])),
      },
      responses: {},
      vectors: {},
    };
  });
}
/** Fields of Argilla are texts. */
const textOf = (value: unknown): string => (typeof value === 'string' ? value : JSON.stringify(value ?? null));

const responses = z.array(z.looseObject({ value: z.json() })).nullish();
const answered = z.looseObject({ id: z.string(), responses: z.record(z.string(), responses).nullish() });
type Answered = z.infer<typeof answered>;

export interface ReadVerdicts {
  readonly verdicts: readonly Verdict[];
  /** Records whose reviewers disagree half and half. */
  readonly undecided: readonly string[];
  /** Records without a response. */
  readonly open: number;
}

/**
 * Reads what `rg.Dataset.records.to_json` wrote, or the same as JSON lines. Of several responses to a record the verdict of most counts; the
 * last edit of a field counts. Throws `ConfigError` with the place of a record that is not of the sample, or is none.
 */
export function readArgilla(text: string, file: string, { records }: Review): ReadVerdicts {
  const byId = new Map(records.map((record) => [record.id, record.value]));
  const verdicts: Verdict[] = [];
  const undecided: string[] = [];
  let open = 0;
  for (const [index, one] of documentsIn(text, file).entries()) {
    const place = `${file}, record ${index + 1}`;
    const { success, data } = answered.safeParse(one);
    if (!success) throw new BackspinError('ConfigError', `${place} is no record of Argilla: it needs an id, and responses by question.`);
    const value = byId.get(data.id);
    if (!value)
      throw new BackspinError(
        'ConfigError',
        `${place}: ${data.id} is not of the sample under review. Give the --sample it was written with.`,
      );
    const votes = given(data, 'verdict').map((vote) => judgementOf(vote, place));
    const [verdict, others] = Map.groupBy(votes, (vote) => vote)
      .values()
      .toArray()
      .toSorted((a, b) => b.length - a.length);
    if (!verdict) open++;
    else if (others?.length === verdict.length) undecided.push(data.id);
    else verdicts.push(verdictOf(data, verdict[0]!, value, place));
  }
  return { verdicts, undecided, open };
}

const given = ({ responses: all }: Answered, question: string) => (all?.[question] ?? []).map((response) => response.value);

function judgementOf(vote: unknown, place: string): Judgement {
  const { success, data } = judgement.safeParse(vote);
  if (success) return data;
  throw new BackspinError('ConfigError', `${place}: the verdict ${JSON.stringify(vote)} is none of ${judgement.options.join(', ')}.`);
}

function verdictOf(from: Answered, verdict: Judgement, value: Values, place: string): Verdict {
  const notes = given(from, 'note').flatMap((note) => (typeof note === 'string' && note !== '' ? [note] : []));
  const edited = () =>
    Object.entries(value).map(([field, before]) => {
      const now = given(from, `${EDITED}${field}`).at(-1) ?? null;
      if (now === null) return [field, before];
      return [field, typeof before === 'string' || typeof now !== 'string' ? now : parse(now, `${place}: ${EDITED}${field}`)];
    });
  const mended = verdict === 'edit' ? (Object.fromEntries(edited()) as Record<string, unknown>) : null;
  return { of: from.id, verdict, note: notes.join('\n') || null, value: mended };
}

function documentsIn(text: string, file: string): unknown[] {
  if (text.trimStart().startsWith('[')) return parse(text, file) as unknown[];
  return text.split('\n').flatMap((line, index) => (line.trim() === '' ? [] : [parse(line, `${file}, line ${index + 1}`)]));
}
function parse(text: string, place: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new BackspinError('ConfigError', `${place} is not JSON.`);
  }
}
