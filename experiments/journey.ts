/** The journey of a record through an experiment: what it was made of, what became of it, and what models were asked about it. */
import type { Rec } from '../recipe/define.ts';
import type { BoundConfig } from '../schemas/config.ts';
import { BackspinError } from '../schemas/errors.ts';
import type { ExperimentRecord, Step } from '../schemas/experiment.ts';
import { originsOf } from '../steps/origins.ts';
import { loadRegistry, type Registry } from '../steps/registry.ts';
import type { Store } from '../store/store.ts';
import { askedAbout, type Asked } from './asked.ts';
import { distinct, endedSteps, RecordReader, type Ended } from './tables/reader.ts';
import { openDatabase, type StepTable } from './tables/steps.ts';

/** How a record is related to the one that was asked for. */
export type Relation = 'itself' | 'ancestor' | 'descendant';

export interface JourneyEvent {
  readonly path: string;
  readonly round: number | null;
  readonly arm: string | null;
  readonly kind: Step['kind'];
  readonly operation: string;
  /** `kept`: it is a record of the step; `learnt`: the training has learnt it; `answered`: the evaluation has asked it. */
  readonly what: 'kept' | 'dropped' | 'learnt' | 'answered';
  readonly relation: Relation;
  readonly id: string;
  readonly value: unknown;
  readonly reason: string | null;
  readonly evidence: string | null;
  /** What models were asked about its source in this step. */
  readonly asked: Asked | null;
}
export interface Journey {
  readonly experiment: string;
  readonly id: string;
  /** File and line of the source record, if its source tells. */
  readonly origin: string | null;
  /** In the order in which the steps began. */
  readonly events: readonly JourneyEvent[];
  /** Why no event has `asked`; null if there is no reason. */
  readonly unasked: string | null;
}

/** `wanted`: the id of a record, or the beginning of one. Throws `NotFound` if there is none, or more than one. */
export async function journeyOf(store: Store, record: ExperimentRecord, wanted: string): Promise<Journey> {
  const ended = await endedSteps(store, record);
  const database = await openDatabase(store);
  try {
    const reader = new RecordReader(database, store);
    const tables = distinct(ended.flatMap((one) => [...one.tables, ...one.hidden]));
    const id = await reader.complete(record.name, tables, wanted);
    const relatives = await relativesOf(reader, tables, id);
    const registry = await loadRegistry((record.config as BoundConfig).modules).catch(moduleFault);
    const events: JourneyEvent[] = [];
    for (const one of ended) {
      const sources = tables.filter(({ ref, layout }) => layout === 'records' && one.output.inputs.includes(ref.digest));
      for (const event of await eventsOf(reader, one, sources, relatives)) {
        const source = typeof registry !== 'string' && one.step.kind === 'map' ? await sourceOf(reader, one, sources, event.id) : undefined;
        const asked = source ? await askedAbout(store, registry as Registry, record, one.output, source) : null;
        events.push({ ...event, asked });
      }
    }
    const outputs = ended.map(({ output }) => output);
    const origin = (await originsOf(store, outputs, [id])).get(id) ?? null;
    return { experiment: record.name, id, origin, events, unasked: typeof registry === 'string' ? registry : null };
  } finally {
    database.close();
  }
}

/** A module that has changed since, or is gone. */
function moduleFault(error: unknown): string {
  if (error instanceof BackspinError) return error.message;
  throw error;
}

async function relativesOf(reader: RecordReader, tables: readonly StepTable[], id: string): Promise<Map<string, Relation>> {
  const records = tables.filter(({ layout }) => layout === 'records');
  const relatives = new Map<string, Relation>([[id, 'itself']]);
  const follow = async (relation: Relation, next: (table: StepTable, ids: ReadonlySet<string>) => Promise<readonly string[]>) => {
    for (let border: ReadonlySet<string> = new Set([id]); border.size > 0;) {
      const found = new Set<string>();
      for (const table of records) for (const one of await next(table, border)) if (!relatives.has(one)) found.add(one);
      for (const one of found) relatives.set(one, relation);
      border = found;
    }
  };
  await follow('ancestor', async (table, ids) => (await reader.byId(table, ids)).flatMap(({ from }) => from));
  await follow('descendant', (table, ids) => reader.childrenOf(table, ids));
  return relatives;
}

type Plain = Omit<JourneyEvent, 'asked'>;

async function eventsOf(
  reader: RecordReader,
  { step, tables }: Ended,
  sources: readonly StepTable[],
  relatives: ReadonlyMap<string, Relation>,
): Promise<Plain[]> {
  const { path, round, arm, kind, operation } = step;
  const event = (id: string, rest: Pick<Plain, 'what' | 'value'> & Partial<Plain>): Plain => {
    return { path, round, arm, kind, operation, relation: relatives.get(id)!, id, reason: null, evidence: null, ...rest };
  };
  const ids = new Set(relatives.keys());
  const events: Plain[] = [];
  for (const table of tables)
    for (const { id, value } of await reader.byId(table, ids)) {
      if (table.layout === 'records') events.push(event(id, { what: kind === 'evaluate' ? 'answered' : 'kept', value }));
      else {
        const { reason, evidence, value: own } = value as { reason: string; evidence: string | null; value: unknown };
        events.push(event(id, { what: 'dropped', value: own, reason, evidence }));
      }
    }
  if (kind !== 'train') return events;
  const learnt = new Set([...ids].filter((id) => events.every((one) => one.id !== id)));
  for (const table of sources)
    for (const { id, value } of await reader.byId(table, learnt)) events.push(event(id, { what: 'learnt', value }));
  return events;
}

/** The record of the step's input that a record of the step was made of. */
async function sourceOf(
  reader: RecordReader,
  { tables, hidden }: Ended,
  sources: readonly StepTable[],
  id: string,
): Promise<Rec<unknown> | undefined> {
  const own = [...tables, ...hidden].filter(({ layout }) => layout === 'records');
  for (let border: ReadonlySet<string> = new Set([id]); border.size > 0;) {
    for (const table of sources) for (const source of await reader.byId(table, border)) return source;
    const parents = new Set<string>();
    for (const table of own) for (const { from } of await reader.byId(table, border)) for (const parent of from) parents.add(parent);
    border = parents;
  }
  return undefined;
}
