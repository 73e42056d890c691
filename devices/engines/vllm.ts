/** Runs vLLM as a subprocess with one base model and its adapters. Adapters can change while it runs; another base model needs a new start.
 */
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
import { sendRequest, type Endpoint, type Engine, type ServedModels } from './engine.ts';

/** The server contacts no other machine and accepts new adapters while it runs. */
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
/** Arguments that change only speed and memory, and so are not part of the identity. */
const IGNORED_IN_IDENTITY =
  'gpu-memory-utilization max-num-batched-tokens max-cpu-loras block-size enforce-eager enable-prefix-caching cpu-offload-gb load-format max-parallel-loading-workers distributed-executor-backend uvicorn-log-level'.split(
    ' ',
  );
/** Values that `max-lora-rank` accepts. */
const LORA_RANKS = [16, 32, 64, 128, 256, 320, 512];
/** Minimum of `max-loras`: a lease with one adapter is often followed by one with two. */
const MIN_LORAS = 2;

const modelList = z.object({ data: z.array(z.object({ id: z.string(), parent: z.string().nullish() })) });

/** Everything that replies depend on apart from the model and the request. */
export function vllmIdentity({ version, dtype, maxModelLength, arguments: more }: VllmServing): string {
  const relevant = Object.fromEntries(Object.entries(more).filter(([name]) => !IGNORED_IN_IDENTITY.includes(name)));
  return `vllm ${version} ${dtype} ${canonicalJson({ maxModelLength, ...relevant })}`;
}

/** The Python of this host that has vLLM. Throws `ConfigError` if neither `serving` nor the environment names one. */
export function vllmPython({ python }: Pick<VllmServing, 'python'>): string {
  const configured = python ?? process.env['BACKSPIN_VLLM_PYTHON'];
  if (configured) return configured;
  throw new BackspinError(
    'ConfigError',
    'The engine vllm needs a Python environment with vLLM: name its `python` in BACKSPIN_VLLM_PYTHON, in the environment of `backspin up`, or under `serving`.',
  );
}

/** Throws `ConfigError` if that Python has no vLLM. */
export async function vllmVersion(python: string): Promise<string> {
  try {
    const program = "import importlib.metadata as m; print(m.version('vllm'))";
    return released((await promisify(execFile)(python, ['-c', program], { timeout: 60_000, env: neededEnvironment() })).stdout);
  } catch (error) {
    const lastLine = (error as { stderr?: string }).stderr?.trim().split('\n').at(-1) || (error as Error).message;
    throw new BackspinError('ConfigError', `${python} has no vLLM (${lastLine}): install it there, or name another Python environment.`);
  }
}

/** `baseName`: what a lease of the base calls it, so that one of its adapters alone can reuse the server. */
export function vllm(serving: VllmServing, models: ServedModels, baseName = 'base'): Engine {
  const python = vllmPython(serving);
  const { base, adapters } = layoutOf(models, baseName);
  const capacity = adapterCapacity(adapters, serving.maxLoraRank ?? 0);
  /** Prompt and generated tokens at the last check. */
  let lastTokens: number | undefined;

  return {
    warmth: JSON.stringify([python, base, capacity, { ...serving, pool: null, replicas: null, timeout: null }]),
    devices: serving.tensorParallel * serving.dataParallel,
    health: { every: 5_000, timeout: 15_000, misses: 3 },

    async prepare(folder, key) {
      const port = await freePort();
      await writeFile(join(folder, 'port'), String(port));
      const settings = settingsOf(serving, port, base.name, adapters, capacity);
      const more = Object.entries(settings).flatMap(([name, value]) => argumentOf(name, value));
      const command = [python, '-m', 'vllm.entrypoints.cli.main', 'serve', base.folder, ...more];
      return { command, env: { ...ENVIRONMENT, VLLM_API_KEY: key } };
    },

    async find(folder, key, signal) {
      const url = `http://127.0.0.1:${await readFile(join(folder, 'port'), 'utf8')}`;
      const served = await list({ url, key }, signal).catch(() => []);
      if (!served.some(({ id }) => id === base.name)) return undefined; // not yet, or another program's server
      const { version } = z.object({ version: z.string() }).parse(JSON.parse(await sendRequest({ url, key }, 'GET', '/version', signal)));
      if (released(version) === serving.version) return url;
      throw new BackspinError(
        'ConfigError',
        `${python} has vLLM ${released(version)}, and the experiment was launched for ${serving.version}, which its replies depend on: give this machine that version, or launch the experiment under another name.`,
      );
    },

    /** `/health` answers even while the engine behind it hangs. So the engine must have processed tokens since the last check, or process
     *  one now. */
    async check(endpoint, signal) {
      await sendRequest(endpoint, 'GET', '/health', signal);
      const tokens = tokensIn(await sendRequest(endpoint, 'GET', '/metrics', signal));
      const worked = tokens !== lastTokens;
      lastTokens = tokens;
      if (!worked) await sendRequest(endpoint, 'POST', '/v1/completions', signal, { model: base.name, prompt: [0], max_tokens: 1 });
    },

    async load(endpoint, signal) {
      const served = await list(endpoint, signal);
      for (const { id, parent } of served) {
        if (parent && !(id in models)) await sendRequest(endpoint, 'POST', '/v1/unload_lora_adapter', signal, { lora_name: id });
      }
      for (const { name, path } of adapters) {
        if (!served.some(({ id }) => id === name))
          await sendRequest(endpoint, 'POST', '/v1/load_lora_adapter', signal, { lora_name: name, lora_path: path });
      }
    },
  };
}

/** Arguments of `vllm serve`, without dashes. */
function settingsOf(
  { dtype, slots, maxModelLength, tensorParallel, dataParallel, arguments: more }: VllmServing,
  port: number,
  base: string,
  adapters: readonly Adapter[],
  room: AdapterCapacity | null,
): VllmServing['arguments'] {
  return {
    'served-model-name': base,
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
      ...(adapters.length > 0 && { 'lora-modules': adapters.map((adapter) => JSON.stringify({ ...adapter, base_model_name: base })) }),
    }),
    ...more,
  };
}

interface Adapter {
  readonly name: string;
  readonly path: string;
}

/** Throws `ConfigError` if the models have different bases. */
function layoutOf(
  models: ServedModels,
  baseName: string,
): {
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
    base: { name: entries.find(([, { base }]) => base === null)?.[0] ?? baseName, folder: folders[0]! },
    adapters: entries.flatMap(([name, { folder, base }]) => (base === null ? [] : [{ name, path: folder }])),
  };
}

/** Adapters that one batch may mix, and their highest rank. */
interface AdapterCapacity {
  readonly adapters: number;
  readonly rank: number;
}
/** Room for these adapters, and for later ones of ranks up to `maxRank`, so that a lease of the base alone does not end with the first
 *  adapter of it. Null: no room. */
function adapterCapacity(adapters: readonly Adapter[], maxRank: number): AdapterCapacity | null {
  const highest = Math.max(maxRank, ...adapters.map(rankOf));
  if (highest === 0) return null;
  const rank = LORA_RANKS.find((room) => room >= highest);
  if (rank !== undefined) return { adapters: Math.max(MIN_LORAS, adapters.length), rank };
  throw new BackspinError('ConfigError', `vLLM serves adapters up to rank ${LORA_RANKS.at(-1)}, and this one has ${highest}.`);
}

function rankOf({ path }: Adapter): number {
  const config = JSON.parse(readFileSync(join(path, 'adapter_config.json'), 'utf8')) as { r: number };
  return config.r;
}

function argumentOf(name: string, value: VllmServing['arguments'][string]): string[] {
  if (typeof value === 'boolean') return [value ? `--${name}` : `--no-${name}`];
  if (Array.isArray(value)) return [`--${name}`, ...value.map(String)];
  return [`--${name}=${typeof value === 'object' ? JSON.stringify(value) : value}`];
}

/** A version without its local part, such as `+cpu`. */
const released = (version: string) => version.trim().replace(/\+.*/, '');

const list = async (endpoint: Endpoint, signal: AbortSignal) =>
  modelList.parse(JSON.parse(await sendRequest(endpoint, 'GET', '/v1/models', signal))).data;

/** Sum of two counters on a Prometheus page. */
const tokensIn = (metrics: string): number =>
  [...metrics.matchAll(/^vllm:(?:prompt|generation)_tokens_total\{.*\} (\S+)$/gm)].reduce((sum, [, count]) => sum + Number(count), 0);

/** A free port. vLLM binds it before it loads anything; if another program was faster, vLLM exits and is started again. */
async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await new Promise((done) => server.once('listening', done));
  const { port } = server.address() as AddressInfo;
  await new Promise((done) => server.close(done));
  return port;
}
