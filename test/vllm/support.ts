/** The real vLLM on the text world's base, with adapters made by PEFT. */
import { execFileSync } from 'node:child_process';
import { globSync, mkdtempSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { engineOf } from '../../devices/engines/index.ts';
import { vllmVersion } from '../../devices/engines/vllm.ts';
import { serving } from '../../schemas/serving.ts';
import { backspin, temporary } from '../cli/cli.ts';
import { realPython, trainerPath } from '../support/devices.ts';

const root = join(import.meta.dirname, '../..');
export const base = join(root, 'examples/textworld/base/rated');
export const { python } = JSON.parse(readFileSync(join(root, 'node_modules/.backspin-vllm.json'), 'utf8')) as { python: string };
const version = await vllmVersion(python);
process.env['VLLM_CPU_KVCACHE_SPACE'] = '1'; // GB

/** What `weights.py` makes. */
export const weights = mkdtempSync(join(tmpdir(), 'backspin-vllm-'));
export function makeWeights(): Record<string, number[]> {
  execFileSync(realPython(), [join(import.meta.dirname, 'weights.py'), base, weights], { stdio: 'ignore' });
  return JSON.parse(readFileSync(join(weights, 'scores.json'), 'utf8')) as Record<string, number[]>;
}

/** The engine for some of the adapters. */
export const engine = (...adapters: readonly string[]) =>
  engineFor(Object.fromEntries(adapters.map((name) => [name, { folder: join(weights, name), base }])));
export const engineFor = (models: Parameters<typeof engineOf>[1]) =>
  engineOf(serving.parse({ engine: 'vllm', python, version, dtype: 'float32', slots: 16, arguments: { 'enforce-eager': true } }), models, {
    python: realPython(),
    trainerPath,
  });

/** A home with these pools, whose experiments are served by vLLM. */
export function homeOf(pools: string) {
  const home = temporary();
  writeFileSync(join(home, 'pools.yaml'), pools);
  return {
    home,
    async run(...args: readonly string[]): Promise<string> {
      const { code, stdout, stderr } = await backspin(home, args, { BACKSPIN_VLLM_PYTHON: python });
      if (code !== 0) throw new Error(`backspin ${args.join(' ')}: exit code ${code}\n${stdout}${stderr}`);
      return stdout;
    },
    /** What all servers have written. */
    logs: () =>
      globSync(join(home, 'serve/*/server.log'))
        .map((path) => readFileSync(path, 'utf8'))
        .join(''),
  };
}
/** How often a server began, by what it wrote. */
export const starts = (logs: string): number => logs.match(/Started server process/g)?.length ?? 0;

/** Pids of a process group, by what they call themselves. */
export function processesOf(pgid: number): Map<string, number> {
  const all = readdirSync('/proc').filter((name) => /^\d+$/.test(name));
  return new Map(
    all.flatMap((pid) => {
      try {
        const [, comm, state, , group] = /^\d+ \((.*)\) (\S) (\d+) (\d+)/s.exec(readFileSync(`/proc/${pid}/stat`, 'latin1'))!;
        const words = readFileSync(`/proc/${pid}/cmdline`, 'latin1').split('\0');
        return Number(group) === pgid && state !== 'Z'
          ? [[words.includes('serve') && comm === 'python' ? 'server' : comm!, Number(pid)] as const]
          : [];
      } catch {
        return []; // it has ended meanwhile
      }
    }),
  );
}
