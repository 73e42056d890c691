/** Computes step keys for a machine that a test describes. */
import { mkdtemp, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Machine } from '../../steps/machine.ts';
import { resolve } from '../../steps/resolve.ts';
import type { Resolved } from '../../steps/resolved.ts';
import type { StepContext } from '../../schemas/steps.ts';
import { loadRegistry, moduleDigest, type Registry } from '../../steps/registry.ts';
import type { StepCall } from '../../schemas/call.ts';
import { FileDigests } from '../../store/digests.ts';

export const serving = { pool: 'cpu', engine: 'embedded', slots: 8, threads: 1, maxModelLength: null, replicas: 1 } as const;
export const context: StepContext = {
  experiment: 'test',
  seed: 0,
  modules: [],
  serving,
  roles: {},
  training: { pool: 'cpu', threads: 1 },
  external: [],
};
export const machine = (more: Partial<Machine> = {}): Machine => ({
  files: new FileDigests(),
  trainer: (verb) => Promise.resolve({ code: verb, torch: '1' }),
  knows: () => true,
  device: () => 'cpu',
  groups: () => undefined,
  learn: async () => {},
  ...more,
});
export const model = (digit: string) => ({ kind: 'model', digest: digit.repeat(64) }) as const;
export const dataset = (digit: string) => ({ kind: 'dataset', digest: digit.repeat(64), rows: 10 }) as const;
export const call = (verb: StepCall['verb'], operation: string, inputs: object): StepCall => ({
  verb,
  operation,
  label: 'step',
  path: 'r1/step',
  arm: null,
  round: 1,
  inputs: { ...inputs },
});

/** Makes a registry with a module of this text, in the namespace `mine`. */
export async function registryOf(text = '', files: Readonly<Record<string, string>> = {}, folder?: string): Promise<Registry> {
  const home = folder ?? (await mkdtemp(join(tmpdir(), 'backspin-')));
  for (const [name, content] of Object.entries(files)) await writeFile(join(home, name), content);
  const path = join(home, 'mine.ts');
  await writeFile(path, `import * as b from 'backspin'; import { z } from 'zod'; export const namespace = 'mine';\n${text}`);
  return loadRegistry([{ path, digest: await moduleDigest(path) }]);
}

export type Given = Partial<StepContext> & { readonly machine?: Machine; readonly registry?: Registry };
const builtIn = await loadRegistry([]);
export const resolved = (one: StepCall, { machine: on = machine(), registry = builtIn, ...more }: Given = {}): Promise<Resolved> =>
  resolve(one, { ...context, ...more }, registry, on);
export const keyOf = async (one: StepCall, given?: Given): Promise<string> => (await resolved(one, given)).stepKey;
