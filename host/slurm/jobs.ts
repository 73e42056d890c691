/** Submits, lists and cancels the worker jobs of a pool, with `sbatch`, `squeue` and `scancel`. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import type { SlurmSettings } from './settings.ts';

export interface Job {
  readonly id: string;
  readonly state: 'waiting' | 'running' | 'ended';
  /** Slurm's own state and reason, such as `PENDING` and `Resources`. */
  readonly slurm: string;
  readonly reason: string;
  /** Milliseconds to its time limit; Infinity: none, or it waits. */
  readonly left: number;
}

const WAITING = new Set(['PENDING', 'CONFIGURING', 'REQUEUED', 'REQUEUE_HOLD', 'REQUEUE_FED', 'SPECIAL_EXIT', 'RESV_DEL_HOLD']);
const RUNNING = new Set(['RUNNING', 'SUSPENDED', 'STOPPED', 'SIGNALING', 'STAGE_OUT', 'RESIZING']);

/** Milliseconds for an answer of Slurm. */
const PATIENCE = 30_000;

export class SlurmJobs {
  readonly #name: string;
  readonly #pool: string;
  readonly #settings: SlurmSettings;
  readonly #command: readonly string[];
  readonly #env: NodeJS.ProcessEnv;

  /** `name`: of the jobs, by which any controller of the store finds them. `command`: `backspin` on the nodes. `env`: of the jobs. */
  constructor(name: string, pool: string, settings: SlurmSettings, command: readonly string[], env: NodeJS.ProcessEnv) {
    this.#name = name;
    this.#pool = pool;
    this.#settings = settings;
    this.#command = command;
    // Variables of a job in which the controller itself runs would be taken for options.
    const own = Object.entries(env).filter(([variable]) => !/^(SLURM_(?!CONF)|SBATCH_|SQUEUE_)/.test(variable));
    this.#env = Object.fromEntries(own);
  }

  /** The log of a job, in the folder in which the controller was started. */
  logOf = (id: string): string => `backspin-${this.#pool}-${id}.log`;

  /** Returns the job's id. Throws an error with Slurm's own sentence if it refuses. */
  async submit(): Promise<string> {
    const { partition, gres, account, time, extra, drain } = this.#settings;
    const given = Object.entries({ partition, gres, account, time }).flatMap(([option, value]) => (value ? [`--${option}=${value}`] : []));
    const own = [
      `--job-name=${this.#name}`,
      `--output=${this.logOf('%j')}`,
      `--signal=B:TERM@${Math.ceil(drain / 1000)}`,
      '--parsable',
      '--nodes=1',
      '--ntasks=1',
      '--no-requeue', // the controller replaces it at once
      '--export=ALL',
    ];
    const said = await this.#run('sbatch', [...own, ...given, ...extra], this.#script());
    const id = /^(\d+)/m.exec(said)?.[1];
    if (id === undefined) throw new Error(`sbatch: no job id in "${said.trim().slice(0, 200)}"`);
    return id;
  }

  /** Jobs that wait or run, and those that ended within the last minutes, as long as Slurm remembers them. */
  async list(): Promise<readonly Job[]> {
    const said = await this.#run('squeue', ['--noheader', '--states=all', `--name=${this.#name}`, '--format=%i|%T|%L|%r']);
    return said.split('\n').flatMap((line) => {
      const [id, slurm, left, reason] = line.trim().split('|');
      if (reason === undefined) return [];
      const state = WAITING.has(slurm!) ? 'waiting' : RUNNING.has(slurm!) ? 'running' : 'ended';
      return [{ id: id!, state, slurm: slurm!, reason, left: state === 'running' ? milliseconds(left!) : Infinity }];
    });
  }

  async cancel(id: string): Promise<void> {
    await this.#run('scancel', [id]);
  }

  #script(): string {
    const { groups, idleExit, drain, ahead } = this.#settings;
    // A successor that starts at once waits for the end of its predecessor.
    const idle = Math.ceil(Math.max(idleExit, ahead) / 1000);
    const worker = [
      'worker',
      '--pool',
      `${this.#pool}=${groups}`,
      '--idle-exit',
      `${idle}s`,
      '--drain-before',
      `${Math.ceil(drain / 1000)}s`,
    ];
    return [
      '#!/bin/bash',
      'export BACKSPIN_HOME="${TMPDIR:-/tmp}/backspin-$SLURM_JOB_ID"',
      `${[...this.#command, ...worker].map(quoted).join(' ')} &`,
      `trap 'kill -TERM $!' TERM`,
      'while wait $!; code=$?; [ $code -gt 128 ] && kill -0 $! 2>/dev/null; do :; done',
      'rm -rf "$BACKSPIN_HOME"',
      'exit $code',
      '',
    ].join('\n');
  }

  /** Returns what the command prints. Throws an error with its last line if it fails. */
  async #run(command: string, args: readonly string[], input = ''): Promise<string> {
    const child = spawn(command, args, { env: this.#env, stdio: 'pipe', timeout: PATIENCE, killSignal: 'SIGKILL' });
    const failed = once(child, 'error').then(([error]: NodeJS.ErrnoException[]) => {
      throw new Error(error!.code === 'ENOENT' ? `${command} is not on the PATH of this host` : error!.message);
    });
    child.stdin.on('error', () => {}); // it has ended without reading
    child.stdin.end(input);
    const ended = Promise.all([once(child, 'close'), text(child.stdout), text(child.stderr)]);
    ended.catch(() => {});
    failed.catch(() => {});
    const [[code], output, complaint] = (await Promise.race([ended, failed])) as [[number | null], string, string];
    if (code === 0) return output;
    throw new Error(
      complaint.trim().split('\n').at(-1) ||
        `${command} ${code === null ? `has not answered within ${PATIENCE / 1000} s` : `ended with exit code ${code}`}`,
    );
  }
}

const quoted = (word: string): string => (/^[\w./=:+-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`);

/** `[DAYS-][[HOURS:]MINUTES:]SECONDS`, as squeue prints times. Infinity: anything else, such as UNLIMITED. */
export function milliseconds(time: string): number {
  const [, days = 0, clock] = /^(?:(\d+)-)?(\d+(?::\d+){0,2})$/.exec(time) ?? [];
  if (clock === undefined) return Infinity;
  return (Number(days) * 86_400 + clock.split(':').reduce((sum, part) => sum * 60 + Number(part), 0)) * 1000;
}
