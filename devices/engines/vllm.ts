/** vLLM as a child process: one base and adapters of it. Adapters come and go while it runs; another base is another start. */
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { z } from 'zod';
import type { VllmServing } from '../../schemas/serving.ts';
import { BackspinError } from '../../schemas/errors.ts';
import { canonicalJson } from '../../schemas/canonical.ts';
import { neededEnvironment } from '../environment.ts';
import { ask, type Endpoint, type Engine, type ServedModels } from './engine.ts';

/** For children: nothing is asked of other machines or told to them, and adapters may come and go. */
const ENVIRONMENT = {
  VLLM_ALLOW_RUNTIME_LORA_UPDATING: '1',
  VLLM_SERVER_DEV_MODE: '0',
  VLLM_HOST_IP: '127.0.0.1',
  VLLM_NO_USAGE_STATS: '1',
  PYTHONSAFEPATH: '1',
  DO_NOT_TRACK: '1',
  HF_HUB_OFFLINE: '1',
  HF_HUB_DISABLE_TELEMETRY: '1',
};
/** Arguments that change speed and memory only. */
const INDIFFERENT =
  'gpu-memory-utilization max-num-batched-tokens max-cpu-loras block-size enforce-eager enable-prefix-caching cpu-offload-gb load-format max-parallel-loading-workers distributed-executor-backend uvicorn-log-level'.split(
    ' ',
  );
/** Ranks of adapters that vLLM makes room for. */
const RANKS = [16, 32, 64, 128, 256, 320, 512];
/** Adapters that a batch may mix, at least: a lease with one is often followed by one with two. */
const ADAPTERS = 2;

const listed = z.object({ data: z.array(z.object({ id: z.string(), parent: z.string().nullish() })) });

/** What the replies of a server depend on beside the model and the request. */
export function vllmIdentity({ version, dtype, maxModelLength, arguments: more }: VllmServing): string {
  const telling = Object.fromEntries(Object.entries(more).filter(([name]) => !INDIFFERENT.includes(name)));
  return `vllm ${version} ${dtype} ${canonicalJson({ maxModelLength, ...telling })}`;
}

/** The Python that has vLLM on this host. Throws ConfigError where nobody says. */
export function vllmPython({ python }: Pick<VllmServing, 'python'>): string {
  const found = python ?? process.env['BACKSPIN_VLLM_PYTHON'];
  if (found) return found;
  throw new BackspinError(
    'ConfigError',
    'The engine vllm needs a Python environment with vLLM: name its `python` in BACKSPIN_VLLM_PYTHON, in the environment of `backspin up`, or under `serving`.',
  );
}

/** Throws ConfigError where that Python has no vLLM. */
export async function vllmVersion(python: string): Promise<string> {
  try {
    const program = "import importlib.metadata as m; print(m.version('vllm'))";
    return released((await promisify(execFile)(python, ['-c', program], { timeout: 60_000, env: neededEnvironment() })).stdout);
  } catch (error) {
    const said = (error as { stderr?: string }).stderr?.trim().split('\n').at(-1) || (error as Error).message;
    throw new BackspinError('ConfigError', `${python} has no vLLM (${said}): install it there, or name another Python environment.`);
  }
}

export function vllm(serving: VllmServing, models: ServedModels): Engine {
  const python = vllmPython(serving);
  const { base, adapters } = layoutOf(models);
  const room = adapters.length === 0 ? null : { adapters: Math.max(ADAPTERS, adapters.length), rank: rankOf(adapters) };
  /** Tokens read and written until the last look. */
  let seen: number | undefined;

  return {
    warmth: JSON.stringify([python, base, room, { ...serving, pool: null, replicas: null, timeout: null }]),
    devices: serving.tensorParallel * serving.dataParallel,
    health: { every: 5_000, timeout: 15_000, misses: 3 },

    async prepare(folder, key) {
      const port = await freePort();
      await writeFile(join(folder, 'port'), String(port));
      const { dtype, slots, maxModelLength, tensorParallel, dataParallel } = serving;
      const settings = {
        'served-model-name': base.name,
        host: '127.0.0.1',
        port,
        'api-server-count': 1,
        'disable-uvicorn-access-log': true,
        dtype,
        'max-num-seqs': slots,
        'tensor-parallel-size': tensorParallel,
        'data-parallel-size': dataParallel,
        'generation-config': 'vllm',
        ...(maxModelLength !== null && { 'max-model-len': maxModelLength }),
        ...(room && {
          'enable-lora': true,
          'max-loras': room.adapters,
          'max-lora-rank': room.rank,
          'lora-modules': adapters.map((adapter) => JSON.stringify({ ...adapter, base_model_name: base.name })),
        }),
        ...serving.arguments,
      };
      const more = Object.entries(settings).flatMap(([name, value]) => argumentOf(name, value));
      const command = [python, '-m', 'vllm.entrypoints.cli.main', 'serve', base.folder, ...more];
      return { command, env: { ...ENVIRONMENT, VLLM_API_KEY: key } };
    },

    async find(folder, key, signal) {
      const url = `http://127.0.0.1:${await readFile(join(folder, 'port'), 'utf8')}`;
      const served = await list({ url, key }, signal).catch(() => []);
      if (!served.some(({ id }) => id === base.name)) return undefined; // not yet, or somebody else's
      const { version } = z.object({ version: z.string() }).parse(JSON.parse(await ask({ url, key }, 'GET', '/version', signal)));
      if (released(version) === serving.version) return url;
      throw new BackspinError(
        'ConfigError',
        `${python} has vLLM ${released(version)}, and the experiment was launched for ${serving.version}, which its replies depend on: give this machine that version, or launch the experiment under another name.`,
      );
    },

    /** `/health` says yes while the engine behind it stands still. So it must have done something since the last look, or do it now. */
    async check(endpoint, signal) {
      await ask(endpoint, 'GET', '/health', signal);
      const tokens = tokensIn(await ask(endpoint, 'GET', '/metrics', signal));
      const worked = tokens !== seen;
      seen = tokens;
      if (!worked) await ask(endpoint, 'POST', '/v1/completions', signal, { model: base.name, prompt: [0], max_tokens: 1 });
    },

    async load(endpoint, signal) {
      const served = await list(endpoint, signal);
      for (const { id, parent } of served) {
        if (parent && !(id in models)) await ask(endpoint, 'POST', '/v1/unload_lora_adapter', signal, { lora_name: id });
      }
      for (const { name, path } of adapters) {
        if (!served.some(({ id }) => id === name))
          await ask(endpoint, 'POST', '/v1/load_lora_adapter', signal, { lora_name: name, lora_path: path });
      }
    },
  };
}

interface Adapter {
  readonly name: string;
  readonly path: string;
}

/** Throws ConfigError for models of several bases. */
function layoutOf(models: ServedModels): {
  readonly base: { readonly name: string; readonly folder: string };
  readonly adapters: Adapter[];
} {
  const entries = Object.entries(models);
  const folders = [...new Set(entries.map(([, { folder, base }]) => base ?? folder))];
  if (folders.length !== 1)
    throw new BackspinError(
      'ConfigError',
      `A vLLM server has one base model, and this step asks ${folders.length}: ${folders.join(', ')}.`,
    );
  return {
    base: { name: entries.find(([, { base }]) => base === null)?.[0] ?? 'base', folder: folders[0]! },
    adapters: entries.flatMap(([name, { folder, base }]) => (base === null ? [] : [{ name, path: folder }])),
  };
}

function rankOf(adapters: readonly Adapter[]): number {
  const ranks = adapters.map(({ path }) => {
    const config = JSON.parse(readFileSync(join(path, 'adapter_config.json'), 'utf8')) as { r: number };
    return config.r;
  });
  const rank = RANKS.find((room) => room >= Math.max(...ranks));
  if (rank !== undefined) return rank;
  throw new BackspinError('ConfigError', `vLLM serves adapters up to rank ${RANKS.at(-1)}, and this one has ${Math.max(...ranks)}.`);
}

function argumentOf(name: string, value: VllmServing['arguments'][string]): string[] {
  if (typeof value === 'boolean') return [value ? `--${name}` : `--no-${name}`];
  if (Array.isArray(value)) return [`--${name}`, ...value.map(String)];
  return [`--${name}=${typeof value === 'object' ? JSON.stringify(value) : value}`];
}

/** A version without what a build says of itself, such as `+cpu`. */
const released = (version: string) => version.trim().replace(/\+.*/, '');

const list = async (endpoint: Endpoint, signal: AbortSignal) =>
  listed.parse(JSON.parse(await ask(endpoint, 'GET', '/v1/models', signal))).data;

/** Sum of two counters of a Prometheus page. */
const tokensIn = (metrics: string): number =>
  [...metrics.matchAll(/^vllm:(?:prompt|generation)_tokens_total\{.*\} (\S+)$/gm)].reduce((sum, [, count]) => sum + Number(count), 0);

/** One that nobody listens at now. vLLM listens before it loads anything; if somebody was quicker it ends, and is started again. */
async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await new Promise((done) => server.once('listening', done));
  const { port } = server.address() as AddressInfo;
  await new Promise((done) => server.close(done));
  return port;
}
