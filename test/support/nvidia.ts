/** Fakes `nvidia-smi` with output that a test writes, for machines without a GPU. */
import { chmodSync, existsSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const SCRIPT = `#!/bin/sh
here=$(dirname "$0")
echo "$1" >>"$here/asked"
case $1 in
  --query-gpu=*) cat "$here/devices" ;;
  --query-compute-apps=*) cat "$here/processes" ;;
esac
`;

export const uuid = (index: number): string => `GPU-0000000${index}-1111-2222-3333-444444444444`;
/** MiB of each device. */
const TOTAL = 80_000;

export interface Nvidia {
  /** A folder for the PATH. */
  readonly folder: string;
  /** MiB in use on each device, by index. */
  used(...used: readonly number[]): void;
  processes(...processes: readonly { index: number; pid: number; used: number | '[N/A]'; name: string }[]): void;
  /** How often `nvidia-smi` ran. */
  asked(): number;
}

export function nvidia(...used: readonly number[]): Nvidia {
  const folder = mkdtempSync(join(tmpdir(), 'backspin-nvidia-'));
  const write = (file: string, lines: readonly string[]) => writeFileSync(join(folder, file), lines.map((line) => `${line}\n`).join(''));
  write('nvidia-smi', [SCRIPT]);
  chmodSync(join(folder, 'nvidia-smi'), 0o755);
  const self: Nvidia = {
    folder,
    used: (...now) =>
      write(
        'devices',
        now.map((mib, index) => `${index}, ${uuid(index)}, ${TOTAL}, ${mib}`),
      ),
    processes: (...now) =>
      write(
        'processes',
        now.map(({ index, pid, used: mib, name }) => `${uuid(index)}, ${pid}, ${mib}, ${name}`),
      ),
    asked: () => (existsSync(join(folder, 'asked')) ? (readFileSync(join(folder, 'asked'), 'utf8').match(/query-gpu/g)?.length ?? 0) : 0),
  };
  self.used(...used);
  self.processes();
  return self;
}
