/** The checks of `doctor`. Each returns findings; a finding with a problem also tells the remedy. */
import { execFile } from 'node:child_process';
import { statfsSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { neededEnvironment } from '../devices/environment.ts';
import { describeOccupant, deviceUsage } from '../devices/memory.ts';
import { vllmVersion } from '../devices/engines/vllm.ts';
import { alive } from '../devices/processes.ts';
import { trainerEnvironment } from '../devices/python.ts';
import { recordsIn } from '../devices/slot-files.ts';
import { queues, taskQueueType } from '../schemas/names.ts';
import { namedServer } from './profile.ts';
import { otherBuild } from './builds.ts';
import { tryConnect, type Temporal } from './connect.ts';
import { LOW_WATER } from '../store/store.ts';
import { hostFault } from './host.ts';
import { currentUp, homeFolder, inHome } from './home.ts';
import { openHome } from './home-store.ts';
import { leftovers } from './leftovers.ts';
import { attributeFaults, checkTemporal, RETENTION_DAYS, retentionDays } from './server.ts';
import { readSetup, SET_UP } from './setup.ts';
import { size } from '../schemas/units.ts';

export interface Finding {
  readonly what: string;
  readonly is: string;
  /** What is wrong and what to do; absent if nothing is wrong. */
  readonly problem?: string;
}

const run = promisify(execFile);
const lastLine = (text: string) => text.trimEnd().split('\n').at(-1) ?? '';

async function node(): Promise<Finding[]> {
  const { node: version } = process.versions;
  return [
    {
      what: 'Node',
      is: version,
      ...(Number(version.split('.')[0]) < 24
        ? { problem: 'Node 24 or newer is needed: run it as `npx backspin` in its folder, where set-up has put one.' }
        : {}),
    },
  ];
}

async function temporalCli(): Promise<Finding[]> {
  const { temporal } = readSetup();
  return [{ what: 'Temporal CLI', is: `server ${await checkTemporal(temporal)} (${temporal})` }];
}

async function python(): Promise<Finding[]> {
  const { python: executable } = readSetup();
  const env = { ...neededEnvironment(), ...trainerEnvironment(join(import.meta.dirname, '..', 'trainer')) };
  const answer = await run(executable, ['-m', 'backspin_trainer', 'doctor'], { env, timeout: 120_000 }).catch(
    (error: unknown) => error as { stdout: string; stderr: string },
  );
  let report: {
    python: string;
    torch: string;
    transformers: string;
    trl: string;
    cuda: unknown[];
    problems: { what: string; remedy: string }[];
  };
  try {
    report = JSON.parse(answer.stdout) as typeof report;
  } catch {
    return [
      {
        what: 'Python',
        is: executable,
        problem: `It does not run the trainer (${lastLine(answer.stderr)}): ${SET_UP}.`,
      },
    ];
  }
  return [
    { what: 'Python', is: `${report.python} (${executable})` },
    {
      what: 'trainer',
      is: `torch ${report.torch}, transformers ${report.transformers}, trl ${report.trl}, ${report.cuda.length} CUDA devices`,
    },
    ...report.problems.map(({ what, remedy }) => ({ what: 'trainer', is: 'not whole', problem: `${what} ${remedy}` })),
  ];
}

async function vllm(): Promise<Finding[]> {
  const executable = process.env['BACKSPIN_VLLM_PYTHON'];
  return [
    {
      what: 'vLLM',
      is: executable ? `${await vllmVersion(executable)} (${executable})` : 'none; BACKSPIN_VLLM_PYTHON can name a Python that has it',
    },
  ];
}

async function supervisor(): Promise<Finding[]> {
  const fault = hostFault();
  if (fault !== undefined) return [{ what: 'home', is: "another host's", problem: fault }];
  const up = currentUp();
  if (up) {
    const other = await otherBuild();
    return [
      ...(other ? [{ what: 'build', is: up.build.slice(0, 8), problem: other }] : []),
      {
        what: 'up',
        is: `process ${up.pid}, pools ${Object.entries(up.pools)
          .map(([pool, groups]) => `${pool}=${groups}`)
          .join(' ')}`,
        ...(up.ready ? {} : { problem: `It is not ready yet: see the logs in ${inHome('logs')}.` }),
      },
    ];
  }
  const left = leftovers();
  if (left.length > 0)
    return [
      {
        what: 'up',
        is: 'dead',
        problem: `Processes of a dead \`up\` still run (${left.join(', ')}): \`backspin down\` or \`backspin up\` ends them.`,
      },
    ];
  return [{ what: 'up', is: 'none', problem: 'No workers are up here: run `backspin up --detach`.' }];
}

/** No server answers. That is fine only if none should be running. */
function noServer(): Finding[] {
  const named = currentUp()?.uiAddress ? undefined : namedServer();
  if (!currentUp() && !named) return [];
  const problem = named
    ? `The one at ${named.address}, which the environment or a Temporal profile names, does not answer: start it, or unset TEMPORAL_ADDRESS to use one of our own.`
    : `It does not answer: see ${inHome('logs', 'temporal.log')}, or run \`backspin down\` and \`backspin up\`.`;
  return [{ what: 'Temporal server', is: 'silent', problem }];
}

async function server(): Promise<Finding[]> {
  const temporal = await tryConnect();
  if (typeof temporal === 'string') return noServer();
  try {
    return [
      { what: 'Temporal server', is: `${temporal.address}, namespace ${temporal.namespace}` },
      ...(await retention(temporal)),
      ...(await attributes(temporal)),
      ...(await pollers(temporal)),
    ];
  } finally {
    await temporal.close();
  }
}

async function retention({ client, namespace }: Temporal): Promise<Finding[]> {
  const days = await retentionDays(client.connection as never, namespace);
  const remedy = `Closed experiments leave the Temporal UI after ${days} days: \`temporal operator namespace update --namespace ${namespace} --retention ${RETENTION_DAYS}d\` keeps them longer.`;
  return [{ what: 'retention', is: `${days} days`, ...(days < RETENTION_DAYS ? { problem: remedy } : {}) }];
}

async function attributes({ client, namespace }: Temporal): Promise<Finding[]> {
  const faults = await attributeFaults(client.connection as never, namespace);
  const remedy = '`temporal operator search-attribute remove` takes a wrong one away, and `backspin up` adds what is missing.';
  return [
    {
      what: 'search attributes',
      is: faults.length === 0 ? 'all there' : 'not as needed',
      ...(faults.length === 0 ? {} : { problem: `${faults.join(' ')} ${remedy}` }),
    },
  ];
}

async function pollers({ client, namespace }: Temporal): Promise<Finding[]> {
  const { id } = await openHome();
  const up = currentUp();
  const kinds = [
    ['orchestrator', queues.orchestrator(id), taskQueueType.workflow],
    ['data', queues.data(id), taskQueueType.activity],
    ['external servers', queues.external(id), taskQueueType.activity],
    ...Object.keys(up?.pools ?? {}).map((pool) => [`pool ${pool}`, queues.pollers(id, pool), taskQueueType.activity] as const),
  ] as const;
  return Promise.all(
    kinds.map(async ([what, name, type]): Promise<Finding> => {
      const { pollers: found } = await client.workflowService.describeTaskQueue({ namespace, taskQueue: { name }, taskQueueType: type });
      const count = found?.length ?? 0;
      return {
        what: `queue of ${what}`,
        is: `${count} pollers (${name})`,
        ...(count === 0 ? { problem: `No worker polls it: see the logs in ${inHome('logs')}, or run \`backspin up\`.` } : {}),
      };
    }),
  );
}

/** What other users of this machine can do: the dev server has no authentication, and file modes decide who reads files. */
async function otherUsers(): Promise<Finding[]> {
  const up = currentUp();
  const ours = up !== undefined && up.uiAddress !== null;
  const door = `the Temporal server at ${up?.address} and its UI ask nobody who he is: all users of this machine can see, stop and start experiments there`;
  const rest = 'workers run only what was launched from here; model servers ask for a key';
  const open = ['', 'temporal.db', 'inflight', 'logs', 'serve', 'store'].map((name) => inHome(name)).filter(isOpen);
  return [
    ...(ours ? [{ what: 'other users', is: `${door}; ${rest}` }] : []),
    ...(open.length > 1 && open[0] === inHome()
      ? [
          {
            what: 'other users',
            is: 'can read files',
            problem: `${open.slice(1).join(', ')} can be read by other users: \`chmod -R go= ${homeFolder()}\` ends that.`,
          },
        ]
      : []),
  ];
}
/** Whether other users can read a file or list a folder. */
function isOpen(path: string): boolean {
  const stats = statSync(path, { throwIfNoEntry: false });
  return stats !== undefined && (stats.mode & 0o055) !== 0;
}

/** What holds a device group, and whether its owner lives. */
async function groups(): Promise<Finding[]> {
  return recordsIn(inHome('devices')).map(({ slot, owner, ownerStart, pgid }) => ({
    what: `device group ${slot}`,
    is: `process group ${pgid} of worker ${owner}`,
    ...(alive(owner, ownerStart)
      ? {}
      : { problem: `Its worker is dead; the next one takes its child over or ends it: \`backspin up\` starts one.` }),
  }));
}

/** Memory and foreign processes of the pools' CUDA devices. */
async function cuda(): Promise<Finding[]> {
  const usage = await deviceUsage(currentUp()?.devices ?? [], recordsIn(inHome('devices')));
  return usage.map(({ index, uuid, used, total, foreign }) => {
    const problem = `Backspin did not start ${foreign.map(describeOccupant).join(', ')}: stop it, or take the device out of its pool.`;
    return { what: `CUDA device ${index}`, is: `${used} of ${total} MiB in use (${uuid})`, ...(foreign.length > 0 ? { problem } : {}) };
  });
}

async function disk(): Promise<Finding[]> {
  const { bavail, bsize } = statfsSync(homeFolder(), { bigint: false });
  const free = bavail * bsize;
  return [
    {
      what: 'disk',
      is: `${size(free)} free at ${homeFolder()}`,
      ...(free < LOW_WATER
        ? { problem: `Less than ${size(LOW_WATER)} is free: make room, or \`backspin gc\` lists what no experiment needs.` }
        : {}),
    },
  ];
}

export const checks = [node, temporalCli, python, vllm, supervisor, server, otherUsers, groups, cuda, disk];
