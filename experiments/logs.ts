/** Finds the log files that tell about a step. */
import { globSync } from 'node:fs';
import { join } from 'node:path';
import { inHome } from '../host/home.ts';
import type { BoundConfig } from '../schemas/config.ts';
import type { ExperimentRecord, Step } from '../schemas/experiment.ts';
import type { Store } from '../store/store.ts';

export interface LogFile {
  readonly path: string;
  /** Who writes it. */
  readonly what: string;
  /** Whether other steps write it too. */
  readonly shared: boolean;
}

/** Those that exist on this machine: of the step's own subprocesses, of model servers of its pools, of the workers. The scratch files of a
 *  step, its own logs too, go when it is completed. */
export function logsOf(
  store: Store,
  { config }: Pick<ExperimentRecord, 'config'>,
  { kind, stepKey }: Pick<Step, 'kind' | 'stepKey'>,
): LogFile[] {
  const { serving, roles, training } = config as BoundConfig;
  const found = (folder: string, pattern: string, what: string, shared: boolean): LogFile[] =>
    globSync(pattern, { cwd: folder })
      .toSorted()
      .map((file) => ({ path: join(folder, file), what, shared }));
  const asksModels = kind === 'map' || kind === 'evaluate';
  const servers = asksModels ? new Set([serving, ...Object.values(roles)].map(({ pool }) => pool)) : new Set<string>();
  const pools = kind === 'reduce' ? new Set<string>() : new Set([...servers, training.pool]);
  return [
    ...(stepKey === null ? [] : found(store.work(stepKey), '**/*.log', 'a subprocess of the step', false)),
    ...[...servers].flatMap((pool) => found(inHome(), `serve/${pool}-*/server.log`, `a model server of the pool ${pool}`, true)),
    ...[...pools].flatMap((pool) => found(inHome(), `logs/gpu-${pool}.log`, `the worker of the pool ${pool}`, true)),
    ...found(inHome(), 'logs/data.log', 'the data worker', true),
  ];
}
