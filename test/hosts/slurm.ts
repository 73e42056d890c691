/** A real Slurm on this machine: a controller and three nodes with two GPUs each, which are files. Needs root. */
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { chmodSync, globSync, mkdirSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { textOf } from '../../host/proc.ts';
import { until } from '../cli/cli.ts';
import { freePorts } from './services.ts';

const NODES = ['n1', 'n2', 'n3'];

export class Slurm {
  readonly folder: string = mkdtempSync(join(tmpdir(), 'backspin-slurm-'));

  static async start(): Promise<Slurm> {
    const slurm = new Slurm();
    await slurm.#configure();
    await slurm.#start();
    return slurm;
  }

  get env(): Record<string, string> {
    return { SLURM_CONF: join(this.folder, 'slurm.conf') };
  }
  run(command: string, ...args: readonly string[]): string {
    return execFileSync(command, args, { encoding: 'utf8', env: { ...process.env, ...this.env } });
  }
  /** States of all jobs that have ended. */
  get ended(): readonly string[] {
    const log = textOf(join(this.folder, 'jobcomp.log'));
    return [...log.matchAll(/JobState=(\w+)/g)].map(([, state]) => state!);
  }
  /** Kills every process of a job, as the power does. */
  kill(id: string): void {
    this.run('scancel', '--signal=KILL', '--full', id);
  }

  stop(): void {
    for (const id of this.run('squeue', '-h', '-o', '%i').trim().split(/\s+/)) if (id) this.kill(id);
    for (const file of globSync(join(this.folder, '**/*.pid'))) {
      try {
        process.kill(Number(readFileSync(file, 'utf8')), 'SIGKILL');
      } catch {
        // it has ended
      }
    }
  }

  async #configure(): Promise<void> {
    const { folder } = this;
    const [first, name] = [await freePorts(1 + NODES.length), hostname().split('.')[0]!];
    for (const made of ['munge', 'state', 'dev', ...NODES.map((node) => `spool-${node}`)]) mkdirSync(join(folder, made));
    for (const shown of ['', 'munge']) chmodSync(join(folder, shown), 0o755);
    writeFileSync(join(folder, 'munge/munge.key'), randomBytes(1024), { mode: 0o600 });
    for (const gpu of ['gpu0', 'gpu1']) execFileSync('mknod', [join(folder, 'dev', gpu), 'c', '1', '3']);
    writeFileSync(join(folder, 'gres.conf'), `AutoDetect=off\nNodeName=n[1-3] Name=gpu File=${folder}/dev/gpu[0-1]\n`);
    const own = {
      ClusterName: 'test',
      SlurmctldHost: `${name}(127.0.0.1)`,
      SlurmctldPort: first,
      AuthInfo: `socket=${folder}/munge/munge.socket`,
      SlurmctldPidFile: `${folder}/slurmctld.pid`,
      SlurmdPidFile: `${folder}/slurmd-%n.pid`,
      SlurmctldLogFile: `${folder}/slurmctld.log`,
      SlurmdLogFile: `${folder}/slurmd-%n.log`,
      StateSaveLocation: `${folder}/state`,
      SlurmdSpoolDir: `${folder}/spool-%n`,
      JobCompLoc: `${folder}/jobcomp.log`,
    };
    const nodes = `NodeName=n[1-3] NodeHostname=${name} NodeAddr=127.0.0.1 Port=[${first + 1}-${first + 3}] CPUs=4 RealMemory=2000 Gres=gpu:2`;
    const lines = Object.entries({ ...own, ...SETTINGS }).map(([key, value]) => `${key}=${value}`);
    writeFileSync(join(folder, 'slurm.conf'), [...lines, nodes, 'PartitionName=gpu Nodes=n[1-3] Default=YES MaxTime=10', ''].join('\n'));
  }

  async #start(): Promise<void> {
    const munge = (option: string, file: string) => `--${option}=${join(this.folder, 'munge', file)}`;
    const files = [
      ['key-file', 'munge.key'],
      ['socket', 'munge.socket'],
      ['pid-file', 'munged.pid'],
      ['log-file', 'munged.log'],
    ] as const;
    this.run('munged', '--force', ...files.map(([option, file]) => munge(option, file)), munge('seed-file', 'munged.seed'));
    this.run('slurmctld');
    for (const node of NODES) this.run('slurmd', '-N', node);
    await until(() => this.run('sinfo', '-h', '-t', 'idle', '-o', '%D').trim() === `${NODES.length}`, 'the nodes are idle');
  }
}

/** Root runs everything, without cgroups; schedules often, as tests do not wait. */
const SETTINGS = {
  SlurmUser: 'root',
  SlurmdUser: 'root',
  AuthType: 'auth/munge',
  CredType: 'cred/munge',
  SlurmdParameters: 'config_overrides',
  ProctrackType: 'proctrack/linuxproc',
  TaskPlugin: 'task/none',
  JobAcctGatherType: 'jobacct_gather/none',
  MpiDefault: 'none',
  SwitchType: 'switch/none',
  SelectType: 'select/cons_tres',
  SelectTypeParameters: 'CR_Core',
  GresTypes: 'gpu',
  SchedulerType: 'sched/backfill',
  SchedulerParameters: 'batch_sched_delay=0,sched_interval=2,bf_interval=2,sched_min_interval=0',
  KillWait: 5,
  ReturnToService: 2,
  SlurmdTimeout: 10,
  SlurmctldTimeout: 10,
  AccountingStorageType: 'accounting_storage/none',
  JobCompType: 'jobcomp/filetxt',
} as const;
