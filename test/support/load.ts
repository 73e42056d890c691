/** Runs a toy recipe under load: a real Temporal server, a worker of each kind in a process of its own, and a model server of known
 *  speed. */
import type { ChildProcess } from 'node:child_process';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { LiveCounts } from '../../experiments/live.ts';
import { progressOf } from '../../experiments/progress.ts';
import { viewOf } from '../../experiments/view.ts';
import type { DatasetRef } from '../../schemas/call.ts';
import { external } from '../../schemas/external.ts';
import type { Count, Speed } from './mock-model.ts';
import { started } from './process.ts';
import { makeModel, SERVING, site, type Site } from './temporal.ts';

/** The real data worker; an orchestrator with toy recipes; a pool whose leases use the model server. */
const programs: Readonly<Record<Kind, readonly [string, ...string[]]>> = {
  orchestrator: ['worker-process.ts', 'orchestrator'],
  data: ['../../workers/data.ts'],
  pool: ['worker-process.ts', 'pool'],
};
export type Kind = 'orchestrator' | 'data' | 'pool';

export interface Job {
  readonly records: number;
  /** Steps; each sends one request per record. Default: 1. */
  readonly steps?: number;
  /** Concurrent requests of the leased model server. */
  readonly slots?: number;
  /** Instead: concurrent requests to an external model. */
  readonly inFlight?: number;
  /** Token budget. */
  readonly budget?: number;
  /** Polls the progress as `backspin watch` does. */
  readonly watched?: boolean;
}
export interface Load {
  /** Address of the model server. */
  readonly url: string;
  /** Runs an experiment to its end. */
  run(job: Job): Promise<{ readonly data: DatasetRef; readonly seconds: number }>;
  /** Runs an experiment of `rounds` rounds with `steps` trivial steps each, and polls its progress. */
  crowd(rounds: number, steps: number): Promise<{ readonly seconds: number }>;
  count(): Promise<Count>;
  /** 99th percentile of the event loop delay of each worker, in milliseconds. */
  delays(): Promise<Record<Kind, number>>;
  /** Peak resident memory so far, in MB, by worker. */
  peaks(): Promise<Record<Kind, number>>;
  /** Events of the longest history. */
  longest(): Promise<number>;
  close(): Promise<void>;
}

export async function load(speed: Speed = {}): Promise<Load> {
  const on = await site();
  const { home } = on.services;
  const children: ChildProcess[] = [];
  const start: Start = async ([file, ...args], env = {}) => {
    const { child, said } = await started(file, args, env);
    children.push(child);
    return { pid: child.pid!, said };
  };
  const close = async () => {
    for (const child of children) child.kill('SIGKILL');
    await on.close();
    await rm(home, { recursive: true });
  };
  try {
    const path = await makeModel(home);
    const { said: url } = await start(['mock-model.ts', JSON.stringify(speed)]);
    const pids = await startWorkers(on, url, start);
    return {
      url,
      ...runsOf(on, url, path),
      count: async () => (await (await fetch(`${url}/count`)).json()) as Count,
      peaks: () => ofEach(pids, peak),
      delays: () =>
        ofEach(pids, async (pid) => Math.round((JSON.parse(await readFile(join(home, String(pid)), 'utf8')) as { p99: number }).p99)),
      async longest() {
        let events = 0;
        for await (const { historyLength } of on.env.client.workflow.list()) events = Math.max(events, historyLength);
        return events;
      },
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

type Start = (program: readonly [string, ...string[]], env?: object) => Promise<{ readonly pid: number; readonly said: string }>;

/** Starts one worker of each kind; returns their process ids. */
async function startWorkers({ env: { address }, services: { home }, bundle: { code } }: Site, url: string, start: Start) {
  const bundle = join(home, 'workflows.js');
  await writeFile(bundle, code);
  const env = {
    HOME_FOLDER: home,
    BACKSPIN_HOME: home,
    ADDRESS: address,
    TEMPORAL_ADDRESS: address,
    MODEL_URL: url,
    BUNDLE: bundle,
    DELAYS: home,
    BACKSPIN_BUILD: 'load',
    NODE_COMPILE_CACHE: join(home, 'cache'), // as `up` does
  };
  return ofEach(programs, async (program) => (await start(program, env)).pid);
}

/** `path`: the model's folder, unless the model is external. */
function runsOf(on: Site, url: string, path: string): Pick<Load, 'run' | 'crowd'> {
  let runs = 0;
  /** Runs to the end, and polls progress as `watch` does if requested. */
  const ended = async <T>(name: string, watched: boolean, result: Promise<T>): Promise<{ result: T; seconds: number }> => {
    const began = performance.now();
    const over = new AbortController();
    const watching = watched ? watch(on, name, over.signal) : undefined;
    try {
      return { result: await result, seconds: (performance.now() - began) / 1000 };
    } finally {
      over.abort();
      await watching;
    }
  };
  return {
    async crowd(rounds, steps) {
      const name = `crowd-${++runs}`;
      const handle = await on.start(name, 'crowd', { count: 3, rounds, by: steps });
      return ended(name, true, handle.result());
    },
    async run({ records, steps = 1, slots = 1, inFlight, budget, watched = false }) {
      const speaker = inFlight === undefined ? { path } : { external: external.parse({ model: 'mock', revision: '1', url, inFlight }) };
      const more = { models: { speaker }, serving: { ...SERVING, slots } };
      const name = `run-${++runs}`;
      const limits = budget === undefined ? {} : { limits: { budget: { tokens: budget } } };
      const handle = await on.start(name, 'echo', { count: records, rounds: steps, ...limits }, { ...more, seed: runs });
      const { result, seconds } = await ended(name, watched, handle.result() as Promise<{ data: DatasetRef }>);
      return { data: result.data, seconds };
    },
  };
}

async function ofEach<A, B>(all: Readonly<Record<Kind, A>>, make: (one: A) => Promise<B>): Promise<Record<Kind, B>> {
  const entries = Object.entries(all).map(async ([kind, one]) => [kind, await make(one)] as const);
  return Object.fromEntries(await Promise.all(entries)) as Record<Kind, B>;
}

async function watch({ env, services }: Site, name: string, over: AbortSignal): Promise<void> {
  const live = new LiveCounts();
  while (!over.aborted) {
    const record = await services.store.experiment(name);
    const now = record && (await progressOf(env as never, record));
    if (now) await viewOf(services.store, now.record, live);
    await delay(1_000, undefined, { signal: over }).catch(() => {});
  }
}

const peak = async (pid: number) => Math.round(Number(/VmHWM:\s+(\d+)/.exec(await readFile(`/proc/${pid}/status`, 'utf8'))![1]) / 1024);
