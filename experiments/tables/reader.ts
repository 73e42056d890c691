/** Reads records of an experiment by their ids. */
import type { Rec } from '../../recipe/define.ts';
import { BackspinError } from '../../schemas/errors.ts';
import type { ExperimentRecord, Step } from '../../schemas/experiment.ts';
import type { Output } from '../../schemas/store.ts';
import type { Store } from '../../store/store.ts';
import { text, type Database } from './duckdb.ts';
import { tableOf } from './parquet.ts';
import { tablesOf, type StepTable } from './steps.ts';

/** A step that has ended. */
export interface Ended {
  readonly step: Step;
  readonly output: Output;
  readonly tables: readonly StepTable[];
  /** Records between the operators of its chain: a drop may name one of them. */
  readonly hidden: readonly StepTable[];
}

export async function endedSteps(store: Store, { steps }: ExperimentRecord): Promise<Ended[]> {
  const ended: Ended[] = [];
  for (const step of steps) {
    const output = step.stepKey === null ? undefined : await store.output(step.stepKey);
    if (!output) continue;
    const there = [];
    for (const table of tablesOf(step, output)) if (await store.has(table.ref)) there.push(table);
    ended.push({ step, output, tables: there, hidden: await prefixTables(store, output) });
  }
  return ended;
}

async function prefixTables(store: Store, { operation, inputs, verb }: Output): Promise<StepTable[]> {
  if (verb !== 'map' || !operation.includes('>')) return [];
  const tables: StepTable[] = [];
  for (const stepKey of await store.outputKeys()) {
    const other = await store.output(stepKey).catch(() => undefined); // a damaged one
    if (!other || !operation.startsWith(`${other.operation}>`) || !other.inputs.every((input) => inputs.includes(input))) continue;
    for (const table of tablesOf({ result: null }, other))
      if (table.layout === 'records' && (await store.has(table.ref))) tables.push(table);
  }
  return tables;
}

/** Each dataset once. */
export const distinct = (tables: readonly StepTable[]): StepTable[] => [...new Map(tables.map((one) => [one.ref.digest, one])).values()];

export class RecordReader {
  readonly #database: Database;
  readonly #store: Store;
  readonly #known = new Map<string, Map<string, Rec<unknown> | undefined>>();

  constructor(database: Database, store: Store) {
    this.#database = database;
    this.#store = store;
  }

  /** Records of a table with these ids, as they are stored. A dropped record has the id of the record that it is about. */
  async byId(table: StepTable, ids: ReadonlySet<string>): Promise<Rec<unknown>[]> {
    const known = this.#known.get(table.ref.digest) ?? new Map<string, Rec<unknown> | undefined>();
    this.#known.set(table.ref.digest, known);
    const open = [...ids].filter((id) => !known.has(id));
    for (const id of open) known.set(id, undefined);
    for (const { id, place } of open.length === 0 ? [] : await this.#places(table, `id in (${open.map(text).join()})`))
      for await (const record of this.#store.read(table.ref, { from: place, to: place + 1 })) known.set(id, { ...record, id });
    return [...ids].flatMap((id) => known.get(id) ?? []);
  }

  /** Ids of the records that were made of these. */
  async childrenOf(table: StepTable, ids: ReadonlySet<string>): Promise<string[]> {
    return (await this.#places(table, `list_has_any("from", [${[...ids].map(text).join()}])`)).map(({ id }) => id);
  }

  async #places({ ref, layout }: StepTable, where: string): Promise<{ readonly id: string; readonly place: number }[]> {
    const rows = `read_parquet(${text(await tableOf(this.#store, ref, layout))}, file_row_number = true)`;
    return this.#database.rows(`select id, file_row_number as place from ${rows} where ${where} order by place`);
  }

  /** The only id that begins with `wanted`. Throws `NotFound` if none does, or several do. */
  async complete(experiment: string, tables: readonly StepTable[], wanted: string): Promise<string> {
    if (!/^[0-9a-z-]{4,}$/i.test(wanted))
      throw new BackspinError('ConfigError', `"${wanted}" is no id of a record: give at least its first four characters.`);
    const ids = new Set<string>();
    for (const table of tables) {
      for (const { id } of await this.#places(table, `starts_with(id, ${text(wanted)})`)) ids.add(id);
      if (ids.has(wanted)) return wanted;
    }
    const [id, ...others] = ids;
    if (id === undefined)
      throw new BackspinError(
        'NotFound',
        `No record of ${experiment} has an id that begins with "${wanted}": \`backspin show\` prints ids.`,
      );
    if (others.length > 0)
      throw new BackspinError(
        'NotFound',
        `Several records of ${experiment} have ids that begin with "${wanted}": ${[...ids].slice(0, 5).join(', ')}.`,
      );
    return id;
  }
}
