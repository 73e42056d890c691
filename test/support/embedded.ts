/** Starts the embedded server by hand as an external server with a fixed address. */
import { spawn, type ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { pythonOf } from '../../devices/python.ts';
import type { ServeSpec } from '../../schemas/devices.ts';
import { until } from './devices.ts';

/** Returns the folder of a base model of the text world. */
export const baseFolder = (name: 'rated' | 'plain') => resolve(import.meta.dirname, '../../examples/textworld/base', name);

export class Elsewhere {
  readonly key = `sk-${randomBytes(16).toString('hex')}`;
  readonly #folder = mkdtempSync(join(tmpdir(), 'backspin-elsewhere-'));
  #child: ChildProcess | undefined;
  #port = 0;

  get url(): string {
    return `http://127.0.0.1:${this.#port}/v1`;
  }

  /** Serves a base model of the text world under the name `judge`. */
  async start(base: 'rated' | 'plain'): Promise<void> {
    const ready = join(this.#folder, 'ready.json');
    rmSync(ready, { force: true });
    const spec: ServeSpec = {
      version: 1,
      models: { judge: { folder: baseFolder(base), base: null } },
      host: '127.0.0.1',
      port: this.#port,
      ready,
      slots: 8,
      threads: 1,
      maxModelLength: null,
      accessLog: this.#log,
    };
    writeFileSync(join(this.#folder, 'serve.json'), JSON.stringify(spec));
    const { python, trainerPath } = pythonOf();
    this.#child = spawn(python, ['-m', 'backspin_trainer', 'serve', '--spec', join(this.#folder, 'serve.json')], {
      env: { ...process.env, PYTHONPATH: trainerPath, BACKSPIN_SERVE_KEY: this.key },
      stdio: ['ignore', 'ignore', 'inherit'],
    });
    await until(() => existsSync(ready));
    this.#port = (JSON.parse(readFileSync(ready, 'utf8')) as { port: number }).port;
  }

  /** Kills it at once: replies in flight are lost. */
  async kill(): Promise<void> {
    const child = this.#child;
    this.#child = undefined;
    if (!child) return;
    child.kill('SIGKILL');
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
  }

  get #log(): string {
    return join(this.#folder, 'access.jsonl');
  }
  /** How often the server answered each request of a step. */
  answered(): ReadonlyMap<string, number> {
    const lines = existsSync(this.#log) ? readFileSync(this.#log, 'utf8').trim().split('\n') : [];
    const ids = lines.map((line) => (JSON.parse(line) as { id: string }).id).filter((id) => !/^(check|canary)\//.test(id));
    return new Map([...Map.groupBy(ids, String)].map(([id, same]) => [id, same.length]));
  }
}
