/** Stand-ins for sbatch, squeue and scancel: a queue in a folder, whose jobs do what a test says. */
import { chmodSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { temporary } from '../cli/cli.ts';

export class FakeSlurm {
  readonly folder: string = temporary();
  readonly #jobs: string = join(this.folder, 'jobs');

  constructor() {
    mkdirSync(this.#jobs);
    this.command(
      'sbatch',
      `[ -e refuse ] && { cat refuse >&2; exit 1; }
n=$(($(ls jobs | wc -l) + 1)); printf '%s\\n' "$@" > args-$n; cat > script-$n; env > env-$n; echo 'PENDING|1:00:00|None' > jobs/$n; echo $n`,
    );
    this.command(
      'squeue',
      `[ -e silent ] && { echo 'slurm_load_jobs error: Unable to contact slurm controller' >&2; exit 1; }
for f in jobs/*; do [ -e $f ] && echo "$(basename $f)|$(cat $f)"; done; exit 0`,
    );
    this.command('scancel', `for id in "$@"; do echo 'CANCELLED|0:00|None' > jobs/$id; done`);
  }

  get env(): NodeJS.ProcessEnv {
    return { ...process.env, PATH: `${this.folder}:${process.env['PATH']}` };
  }
  command(name: string, script: string): void {
    writeFileSync(join(this.folder, name), `#!/bin/bash\ncd ${this.folder}\n${script}\n`);
    chmodSync(join(this.folder, name), 0o755);
  }
  write(name: string, text: string): void {
    writeFileSync(join(this.folder, name), text);
  }
  read = (name: string): string => readFileSync(join(this.folder, name), 'utf8');
  /** Sets state, time left and reason of a job. */
  set(id: number, state: string, left = '1:00:00', reason = 'None'): void {
    writeFileSync(join(this.#jobs, `${id}`), `${state}|${left}|${reason}\n`);
  }
  /** States by id. */
  get states(): readonly string[] {
    return readdirSync(this.#jobs).map((id) => readFileSync(join(this.#jobs, id), 'utf8').split('|')[0]!);
  }
}
