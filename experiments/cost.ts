/** What requests to external models cost, by the prices in the experiment file. */
import { isRef } from '../schemas/call.ts';
import type { BoundConfig } from '../schemas/config.ts';
import type { ExperimentRecord } from '../schemas/experiment.ts';
import type { External } from '../schemas/external.ts';
import type { TokenUses } from '../schemas/steps.ts';
import type { Output } from '../schemas/store.ts';
import type { Store } from '../store/store.ts';

/** Amount by currency. */
export type Money = Readonly<Record<string, number>>;
/** Prices by digest of the model. */
export type Prices = ReadonlyMap<string, NonNullable<External['price']>>;

const MILLION = 1e6;

export function pricesOf({ config, steps }: Pick<ExperimentRecord, 'config' | 'steps'>): Prices {
  const { models = {} } = config as Partial<BoundConfig>;
  return new Map(
    steps.flatMap(({ path, result }) => {
      const model = path.startsWith('model-') ? models[path.slice('model-'.length)] : undefined;
      const price = model && 'external' in model ? model.external.price : undefined;
      return price && result !== null && isRef(result) ? [[result.digest, price] as const] : [];
    }),
  );
}

/** Digests of the external models of an experiment. */
const externalsOf = ({ config, steps }: Pick<ExperimentRecord, 'config' | 'steps'>): ReadonlySet<string> => {
  const { models = {} } = config as Partial<BoundConfig>;
  const imported = steps.filter(({ path }) => 'external' in (models[path.replace(/^model-/, '')] ?? {}));
  return new Set(imported.flatMap(({ result }) => (result !== null && isRef(result) ? [result.digest] : [])));
};

/** Seconds that the steps held a device group: trainings, and steps that ask models which are no external ones. Without what other
 *  experiments had computed. */
export async function deviceSeconds(store: Pick<Store, 'output'>, record: Pick<ExperimentRecord, 'config' | 'steps'>): Promise<number> {
  const externals = externalsOf(record);
  let seconds = 0;
  for (const { stepKey, cached } of record.steps) {
    const output = stepKey === null || cached ? undefined : await store.output(stepKey);
    if (output && (output.verb === 'train' || asksOwn(output, externals))) seconds += output.seconds;
  }
  return seconds;
}

/** Outputs of an earlier version do not say which models they asked. */
const asksOwn = ({ requests, uses }: Output, externals: ReadonlySet<string>): boolean =>
  requests > 0 && (!uses || Object.keys(uses).some((digest) => !externals.has(digest)));

/** undefined: none of the models has a price. */
export function costOf(uses: TokenUses, prices: Prices): Money | undefined {
  const priced = Object.entries(uses).flatMap(([digest, { read, written }]) => {
    const price = prices.get(digest);
    return price ? [{ [price.currency]: (read * price.input + written * price.output) / MILLION }] : [];
  });
  return priced.length === 0 ? undefined : addMoney(priced);
}

export function addMoney(all: readonly (Money | undefined)[]): Money {
  const sum: Record<string, number> = {};
  for (const [currency, amount] of all.flatMap((one) => Object.entries(one ?? {}))) sum[currency] = (sum[currency] ?? 0) + amount;
  return sum;
}

/** `0.42 USD`; below a cent with the digits that show it. */
export const moneyText = (money: Money): string =>
  Object.entries(money)
    .map(([currency, amount]) => `${amount >= 0.01 || amount === 0 ? amount.toFixed(2) : amount.toPrecision(2)} ${currency}`)
    .join(' + ');
