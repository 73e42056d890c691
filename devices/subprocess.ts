/** Starts a supervised subprocess, or adopts one from a worker that died. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { neededEnvironment } from './environment.ts';
import { openLifeline } from './lifeline.ts';
import { putAside } from './logs.ts';
import { ENDED, GRACE, MARK, alive, startTime, stopGroup, type Group } from './processes.ts';

export interface Launch {
  readonly command: readonly string[];
  /** Added to the variables that subprocesses need, or to the whole environment of this process if the subprocess is one of our own
   *  workers. */
  readonly env: Readonly<Record<string, string>>;
  readonly inherits?: 'all' | 'needed';
  /** Path of a pipe made by `makeLifeline`. */
  readonly lifeline: string;
  /** The launcher writes the command's exit code to `exit` in this folder. */
  readonly folder: string;
  /** File that standard output and error are appended to. */
  readonly log: string;
}

const launcher = join(import.meta.dirname, 'launch.sh');

export class Subprocess {
  readonly group: Group;
  /** The command's exit code; null if a signal killed it together with its group. Never rejects. */
  readonly exited: Promise<number | null>;
  /** Lets this process end while the subprocess goes on. */
  readonly leave: () => void;

  private constructor(group: Group, ended: Promise<unknown>, folder: string, leave: () => void) {
    this.group = group;
    this.exited = ended.then(() => exitCode(folder));
    this.leave = leave;
  }

  /** Starts a command in its own process group and marks every process of it. Rejects if the command cannot start. */
  static async launch(marker: string, { command, env, inherits = 'needed', lifeline, folder, log }: Launch): Promise<Subprocess> {
    rmSync(join(folder, 'exit'), { force: true });
    const input = openLifeline(lifeline);
    putAside(log);
    const output = openSync(log, 'a');
    try {
      const child = spawn('/bin/sh', [launcher, join(folder, 'exit'), String(GRACE / 1000), ...command], {
        detached: true,
        stdio: [input, output, output],
        env: { ...(inherits === 'all' ? process.env : neededEnvironment()), ...env, [MARK]: marker },
      });
      const ended = new Promise((done) => child.once('exit', done));
      await once(child, 'spawn');
      return new Subprocess({ pgid: child.pid!, pgStart: startTime(child.pid!) ?? ENDED, marker }, ended, folder, () => child.unref());
    } finally {
      closeSync(input);
      closeSync(output);
    }
  }

  /** Adopts a subprocess that another process launched with the same `folder`. */
  static adopt(group: Group & { readonly pgid: number; readonly pgStart: string }, folder: string): Subprocess {
    const abandoned = new AbortController();
    return new Subprocess(group, waitForExit(group.pgid, group.pgStart, abandoned.signal), folder, () => abandoned.abort());
  }

  /** Stops the subprocess and every process that it started. */
  stop(grace?: number): Promise<void> {
    return stopGroup(this.group, grace);
  }
}

/** Polls: the kernel reports exits only to the parent process. */
async function waitForExit(pid: number, start: string, left: AbortSignal): Promise<void> {
  while (alive(pid, start)) {
    if (left.aborted) return new Promise(() => {});
    await delay(100);
  }
}

function exitCode(folder: string): number | null {
  try {
    const [code] = /^\d+(?=\n$)/.exec(readFileSync(join(folder, 'exit'), 'utf8')) ?? [];
    return code === undefined ? null : Number(code);
  } catch {
    return null;
  }
}
