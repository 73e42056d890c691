/** A supervised child: started here, or adopted from a worker that died. */
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
  /** Added to what subprocesses need of this process's environment, or to all of it where the child is one of our own workers. */
  readonly env: Readonly<Record<string, string>>;
  readonly inherits?: 'all' | 'needed';
  /** Path of a pipe made by `makeLifeline`. */
  readonly lifeline: string;
  /** Gets `exit`, the code of the command. */
  readonly folder: string;
  /** File that standard output and error are appended to. */
  readonly log: string;
}

const launcher = join(import.meta.dirname, 'launch.sh');

export class Child {
  readonly group: Group;
  /** The command's exit code; null when it was killed together with its group. Never rejects. */
  readonly exited: Promise<number | null>;
  /** Lets this process end before the child does. */
  readonly leave: () => void;

  private constructor(group: Group, ended: Promise<unknown>, folder: string, leave: () => void) {
    this.group = group;
    this.exited = ended.then(() => exitCode(folder));
    this.leave = leave;
  }

  /** Starts a command in a process group of its own, every process of it marked. Rejects when it cannot be started. */
  static async launch(marker: string, { command, env, inherits = 'needed', lifeline, folder, log }: Launch): Promise<Child> {
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
      return new Child({ pgid: child.pid!, pgStart: startTime(child.pid!) ?? ENDED, marker }, ended, folder, () => child.unref());
    } finally {
      closeSync(input);
      closeSync(output);
    }
  }

  /** Takes over a child that another process launched with the same `folder`. */
  static adopt(group: Group & { readonly pgid: number; readonly pgStart: string }, folder: string): Child {
    const left = new AbortController();
    return new Child(group, death(group.pgid, group.pgStart, left.signal), folder, () => left.abort());
  }

  /** Ends it with every process it has started. */
  stop(grace?: number): Promise<void> {
    return stopGroup(this.group, grace);
  }
}

/** Nobody tells us of the death of a process that is not our child. */
async function death(pid: number, start: string, left: AbortSignal): Promise<void> {
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
