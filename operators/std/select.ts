/** Selects records of a dataset by field values, by rank, or at random. */
import { z } from 'zod';
import { reducer, type Dataset, type ReducerContext, type Rec, type MaybePromise } from '../../recipe/index.ts';
import { canonicalJson, recordId, sha256 } from '../../schemas/canonical.ts';

type Values = Readonly<Record<string, unknown>>;
interface Of {
  readonly of: MaybePromise<Dataset<Values>>;
}

const test = z.union([
  z.union([z.string(), z.number(), z.boolean(), z.null()]),
  z.strictObject({ oneOf: z.array(z.string()) }),
  z.strictObject({ atLeast: z.number().optional(), atMost: z.number().optional() }),
]);
const dataset = z.custom<{ readonly rows: number }>((value) => typeof value === 'object' && value !== null && 'rows' in value, 'a dataset');
const selection = z.strictObject({
  where: z.record(z.string(), test).default({}),
  best: z
    .strictObject({
      by: z.string(),
      order: z.enum(['highest', 'lowest']),
      share: z.number().min(0).max(1).optional(),
      count: z.int().min(0).optional(),
    })
    .refine(({ share, count }) => share !== undefined || count !== undefined, 'say how many: a share or a count')
    .optional(),
  take: z
    .union([z.int().min(0), z.strictObject({ as: z.union([dataset, z.array(dataset).min(1)]), most: z.int().min(0).optional() })])
    .optional(),
});
type Selection = z.infer<typeof selection>;
type Best = NonNullable<Selection['best']>;
type Test = z.infer<typeof test>;

/** Filters, then ranks, then samples; the order stays. A record without the named field fails the test or has no rank. `share` applies
 *  to the records that passed `where`, rounded down; with `count` too, the smaller limit holds. Ties go by record id. The sample depends
 *  on ids and seed, never on the order. */
export const select = reducer<Of, Dataset<Values>, Selection>({
  version: 1,
  params: selection,
  stochastic: ({ take }) => take !== undefined,
  maxRows: (entering, { best, take = Infinity }) => Math.min(best ? maxSelected(entering, best) : entering, rowsOf(take)),
  async *run({ of }, { where, best, take }, reading) {
    const tests = Object.entries(where);
    const passing: Candidate[] = [];
    if (best || take !== undefined) {
      for await (const { id, value } of of) if (!failedField(value, tests)) passing.push({ id, score: best ? value[best.by] : 0 });
    }
    const ranked = best && bestOf(passing, best);
    const taken = take === undefined ? undefined : sample(ranked ?? passing.map(({ id }) => id), rowsOf(take), reading);
    const isBest = ranked && new Set(ranked);
    for await (const record of of) {
      const failed = failedField(record.value, tests);
      if (failed) yield { record, dropped: 'where', evidence: `${failed} is ${formatValue(record.value[failed])}` };
      else if (isBest && !isBest.has(record.id))
        yield { record, dropped: 'not-best', evidence: `${best.by} is ${formatValue(record.value[best.by])}` };
      else if (taken && !taken.has(record.id)) yield { record, dropped: 'not-taken' };
      else yield { record };
    }
  },
});

interface Candidate {
  readonly id: string;
  readonly score: unknown;
}
const formatValue = (value: unknown): string => (value === undefined ? 'missing' : canonicalJson(value).slice(0, 80));

/** Returns the first field that fails its test. */
const failedField = (value: Values, tests: readonly (readonly [string, Test])[]): string | undefined =>
  tests.find(([field, wanted]) => !passes(value[field], wanted))?.[0];

function passes(value: unknown, wanted: Test): boolean {
  if (typeof wanted !== 'object' || wanted === null) return value === wanted;
  if ('oneOf' in wanted) return typeof value === 'string' && wanted.oneOf.includes(value);
  return typeof value === 'number' && value >= (wanted.atLeast ?? -Infinity) && value <= (wanted.atMost ?? Infinity);
}

function bestOf(candidates: readonly Candidate[], best: Best): string[] {
  const sign = best.order === 'highest' ? -1 : 1;
  const scored = candidates.filter((one): one is { id: string; score: number } => typeof one.score === 'number');
  const ranked = scored.toSorted((a, b) => sign * (a.score - b.score) || (a.id < b.id ? -1 : 1));
  return ranked.slice(0, maxSelected(candidates.length, best)).map(({ id }) => id);
}
/** The maximum number of `candidates` to keep. */
const maxSelected = (candidates: number, { share = 1, count = Infinity }: Best): number =>
  Math.min(Math.floor(share * candidates + 1e-9), count); // .29 x 100 is 28.999...
const rowsOf = (take: NonNullable<Selection['take']>): number =>
  typeof take === 'number' ? take : Math.min(...[take.as].flat().map(({ rows }) => rows), take.most ?? Infinity);

/** The `count` ids with the smallest hashes under the seed. */
function sample(ids: readonly string[], count: number, { random }: Pick<ReducerContext, 'random'>): Set<string> {
  const salt = random('take')();
  const lots = ids.map((id) => ({ id, lot: sha256(`${salt}/${id}`) })).sort((a, b) => (a.lot < b.lot ? -1 : 1));
  return new Set(lots.slice(0, count).map(({ id }) => id));
}

/** Makes `count` tasks of `each` different records; a task's id follows from its records' ids. With fewer than `each` records there are
 *  none. */
export const draw = reducer<Of, Dataset<{ readonly drawn: readonly Values[] }>, { readonly count: number; readonly each: number }>({
  version: 1,
  params: z.strictObject({ count: z.int().min(0), each: z.int().min(1) }),
  stochastic: () => true,
  skipsConservation: true,
  maxRows: (_, { count }) => count,
  async *run({ of }, { count, each }, reading) {
    const records: Rec<Values>[] = [];
    for await (const record of of) records.push(record);
    if (records.length < each) return;
    const random = reading.random('draw');
    const times = new Map<string, number>();
    for (let task = 0; task < count; task++) {
      const chosen = new Set<number>();
      while (chosen.size < each) chosen.add(Math.floor(random() * records.length));
      const drawn = [...chosen].map((index) => records[index]!);
      const from = drawn.map(({ id }) => id);
      const before = times.get(from.join()) ?? 0;
      times.set(from.join(), before + 1);
      const value = { drawn: drawn.map((record) => record.value) };
      yield { record: { id: recordId(value, from, before), from, value } };
    }
  },
});
