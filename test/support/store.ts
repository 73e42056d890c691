/** Makes stores for tests, and starts other processes that share them. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { importedDefaults } from '../../steps/import-model.ts';
import type { DatasetRef, Result } from '../../schemas/call.ts';
import type { Rec } from '../../recipe/define.ts';
import type { ExperimentRecord } from '../../schemas/experiment.ts';
import type { Output } from '../../schemas/store.ts';
import { recordId, sha256 } from '../../schemas/canonical.ts';
import { openStore } from '../../store/local.ts';
import type { DatasetWriter, Store } from '../../store/store.ts';

export const folder = (): string => mkdtempSync(join(tmpdir(), 'backspin-'));
export const newStore = (): Promise<Store> => openStore(folder());

export const record = (value: unknown): Rec<unknown> => ({ id: recordId(value, []), from: [], value });
export const records = (count: number, text = ''): Rec<unknown>[] => Array.from({ length: count }, (_, n) => record({ n, text }));

export async function put(store: Store, rows: Iterable<Rec<unknown>>): Promise<DatasetRef> {
  return fill(store.write('test@1'), rows);
}
export async function fill(writer: DatasetWriter, rows: Iterable<Rec<unknown>>): Promise<DatasetRef> {
  for (const row of rows) await writer.add(row);
  return writer.commit('exact');
}
export async function read(store: Store, ref: Pick<DatasetRef, 'digest'>, range?: { from: number; to: number }): Promise<Rec<unknown>[]> {
  const rows = [];
  for await (const row of store.read(ref, range)) rows.push(row);
  return rows;
}

/** A model of imported weights. */
export const aboutModel = { ...importedDefaults, state: 'weights', determinism: 'exact' } as const;

export const output = (name: string, result: Result, more: Partial<Output> = {}): Output => ({
  stepKey: sha256(name),
  verb: 'map',
  operation: 'test.op',
  result,
  in: 0,
  kept: 0,
  dropped: {},
  droppedRecords: null,
  requests: 0,
  tokens: 0,
  seconds: 0,
  inputs: [],
  params: {},
  versions: {},
  sources: {},
  determinism: 'exact',
  made: '2026-11-21T00:00:00.000Z',
  ...more,
});

export const experiment = (name: string, more: Partial<ExperimentRecord> = {}): ExperimentRecord => ({
  name,
  recipe: 'toy',
  workflowId: `w.${name}`,
  runId: null,
  config: {},
  configDigest: sha256(name),
  parent: null,
  state: 'completed',
  round: null,
  steps: [],
  attention: [],
  notices: [],
  ledger: {},
  decisions: {},
  result: null,
  failure: null,
  updated: '2026-11-21T00:00:00.000Z',
  ...more,
});

/** A process that runs `store-child.ts` and prints its progress, one line at a time. */
export interface Child {
  readonly process: ChildProcess;
  /** Its next line. Rejects if it ends first. */
  line(): Promise<string>;
  say(line: string): void;
}
export function child(what: string, ...args: string[]): Child {
  const started = spawn(process.execPath, ['--max-semi-space-size=4', resolve(import.meta.dirname, 'store-child.ts'), what, ...args], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const lines = createInterface(started.stdout)[Symbol.asyncIterator]();
  return {
    process: started,
    async line() {
      const { value, done } = await lines.next();
      if (done) throw new Error(`the child "${what}" ended early`);
      return value;
    },
    say: (line) => void started.stdin.write(`${line}\n`),
  };
}
export async function kill({ process }: Child): Promise<void> {
  process.kill('SIGKILL');
  await once(process, 'exit');
}
