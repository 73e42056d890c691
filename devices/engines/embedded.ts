/** Runs the trainer's own model server, for small Llamas. One process serves any models side by side and loads others at any time. */
import { readFile, rm, writeFile } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { ready, type ServeSpec } from '../../schemas/devices.ts';
import { putAside } from '../logs.ts';
import { trainerEnvironment } from '../python.ts';
import { sendRequest, type Engine, type ServedModels } from './engine.ts';

export interface EmbeddedOptions {
  /** Requests that it decodes at once. */
  readonly slots: number;
  /** null: all cores. */
  readonly threads: number | null;
  /** Tokens of prompt and answer; null: the model's. */
  readonly maxModelLength: number | null;
  readonly python: string;
  /** Folder of the Python package. */
  readonly trainerPath: string;
}

/** Its code is in the keys of its steps besides. */
export const embeddedIdentity = ({ maxModelLength }: Pick<EmbeddedOptions, 'maxModelLength'>): string =>
  `embedded 1 float32${maxModelLength === null ? '' : ` ${maxModelLength}`}`;

export function embedded({ slots, threads, maxModelLength, python, trainerPath }: EmbeddedOptions, models: ServedModels): Engine {
  return {
    warmth: JSON.stringify(['embedded', slots, threads, maxModelLength, python]),
    devices: 1,
    health: { every: 2_000, timeout: 2_000, misses: 5 },

    async prepare(folder, key) {
      const file = (name: string) => join(folder, name);
      const spec: ServeSpec = {
        version: 1,
        models,
        host: '127.0.0.1',
        port: 0,
        ready: file('ready.json'),
        slots,
        threads: threads ?? availableParallelism(),
        maxModelLength,
        accessLog: file('access.jsonl'),
      };
      putAside(spec.accessLog);
      await rm(spec.ready, { force: true });
      await writeFile(file('serve.json'), JSON.stringify(spec));
      return {
        command: [python, '-m', 'backspin_trainer', 'serve', '--spec', file('serve.json')],
        env: { ...trainerEnvironment(trainerPath), BACKSPIN_SERVE_KEY: key },
      };
    },

    async find(folder) {
      const text = await readFile(join(folder, 'ready.json'), 'utf8').catch(() => undefined);
      if (text === undefined) return undefined;
      return `http://127.0.0.1:${ready.parse(JSON.parse(text)).port}`;
    },

    check: async (endpoint, signal) => void (await sendRequest(endpoint, 'GET', '/health', signal)),

    load: async (endpoint, signal) => void (await sendRequest(endpoint, 'PUT', '/models', signal, models)),
  };
}
