/** Clusters and selects records by their embeddings. */
import { z } from 'zod';
import { BackspinError } from '../../schemas/errors.ts';
import type { EmbeddedRow } from '../../schemas/trainer.ts';
import { reducer, type Dataset, type Model, type ReducerContext, type Rec, type Rows, type MaybePromise } from '../../recipe/index.ts';

type Values = Readonly<Record<string, unknown>>;
interface Of {
  readonly of: MaybePromise<Dataset<Values>>;
  readonly encoder: MaybePromise<Model<'encoder' | 'lm'>>;
}

const clustering = z.strictObject({
  on: z.string(),
  beside: z.string().optional(),
  clusters: z.int().min(1),
  maxTokens: z.int().min(1).default(512),
});
type Clustering = z.infer<typeof clustering>;

/** Adds to each record its `cluster` (seeded k-means over the embedding of `on`) and the `distance` of the embedding of `beside` from
 *  it: 1 - cosine, from 0 to 2. An embedding is the mean of the encoder's last hidden states over the first `maxTokens` tokens, scaled
 *  to length 1. With fewer records than clusters, each record is its own cluster. */
export const cluster = reducer<Of, Dataset<Values>, Clustering>({
  version: 1,
  params: clustering,
  stochastic: () => true,
  embeds: {
    texts: (value, { on, beside }) => (beside === undefined ? [textOf(value, on)] : [textOf(value, on), textOf(value, beside)]),
    settings: ({ clusters, maxTokens }) => ({ clusters, maxTokens }),
  },
  async *run({ of }, _, { places, derive }) {
    for await (const [record, { cluster, distance }] of withPlaces(of, places))
      yield { record: derive({ ...record.value, cluster, distance }, [record]) };
  },
});

const selecting = z.strictObject({
  on: z.string(),
  count: z.int().min(1),
  maxTokens: z.int().min(1).default(512),
});

/** Selects `count` records whose embeddings of `on` lie far apart, by farthest-first traversal (k-centre greedy): the first record, then
 *  each time the record with the largest Euclidean distance to the nearest selected one. Embeddings are computed as for `cluster`. The
 *  order stays. */
export const diverse = reducer<Of, Dataset<Values>, z.infer<typeof selecting>>({
  version: 1,
  params: selecting,
  maxRows: (entering, { count }) => Math.min(entering, count),
  embeds: {
    texts: (value, { on }) => [textOf(value, on)],
    settings: ({ count, maxTokens }) => ({ picks: count, maxTokens }),
  },
  async *run({ of }, _, { places }) {
    for await (const [record, { pick }] of withPlaces(of, places)) yield pick === null ? { record, dropped: 'not-diverse' } : { record };
  },
});

/** Yields each record with its place. */
async function* withPlaces<T>(records: Rows<T>, places: ReducerContext['places']): AsyncIterable<readonly [Rec<T>, EmbeddedRow]> {
  const place = places[Symbol.asyncIterator]();
  for await (const record of records) {
    const { value, done } = await place.next();
    if (done) throw new Error('fewer records were embedded than there are');
    yield [record, value];
  }
}

function textOf(value: Values, field: string): string {
  const text = value[field];
  if (typeof text === 'string') return text;
  throw new BackspinError(
    'ConfigError',
    `A record that is to be embedded has no text in "${field}": it has ${Object.keys(value).join(', ')}.`,
  );
}
