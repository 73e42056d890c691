/** Binds how models are served to what is installed, and to what the experiment will train. */
import { vllmPython, vllmVersion } from '../devices/engines/vllm.ts';
import type { Serving } from '../schemas/serving.ts';
import type { Source } from '../schemas/yaml.ts';

/** Binds vLLM to its installed version, because replies depend on the version; and gives it room for the adapters that will be trained. */
export async function bindServing(source: Source, given: Serving, path: readonly string[], rank: number): Promise<Serving> {
  if (given.engine !== 'vllm') return given;
  const serving = rank > 0 ? { maxLoraRank: rank, ...given } : given;
  if (serving.version !== null) return serving;
  try {
    return { ...serving, version: await vllmVersion(vllmPython(serving)) };
  } catch (error) {
    source.problem([...path, 'engine'], `${(error as Error).message} Or say its \`version\`, where it runs on another machine.`);
    return serving;
  }
}

/** The highest rank of an adapter that a training of these parameters has; 0: none trains one. */
export const highestRank = (part: unknown): number =>
  typeof part !== 'object' || part === null
    ? 0
    : Math.max(0, ...Object.entries(part).map(([key, value]) => (key === 'lora' ? ((value as Lora)?.rank ?? 0) : highestRank(value))));
type Lora = { readonly rank: number } | null;
