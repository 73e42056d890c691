/** Finds the processes of each part of a running experiment, and detects when a part is back. */
import { sweep } from '../../devices/processes.ts';
import { answers } from '../../host/server.ts';
import type { Process, Sandbox } from './sandbox.ts';

export interface Part {
  /** Its processes, as far as they work for the step. */
  readonly processes: (sandbox: Sandbox, stepKey: string) => readonly Process[];
  /** Called before the fault; returns a check whether the part is back. */
  readonly returns: (sandbox: Sandbox, stepKey: string) => () => boolean | Promise<boolean>;
  /** The signal goes to `up` too: all other processes end with it, and the command has to be started again. */
  readonly up?: true;
}

const worker = (kind: string): Part => ({
  processes: (sandbox) => sandbox.processes().filter(({ words }) => words.some((word) => word.endsWith(`/workers/${kind}.ts`))),
  returns: (sandbox) => {
    const before = sandbox.polls(kind);
    return () => sandbox.polls(kind) > before;
  },
});

/** The processes on the step's device, or of a server that is kept warm. */
const deviceProcesses =
  (kind: 'serve' | 'train'): Part['processes'] =>
  (sandbox, stepKey) => {
    const slots = sandbox.slots().filter((slot) => slot.kind === kind);
    const slot = slots.find(({ key }) => key.includes(stepKey)) ?? slots.find(({ key }) => key === 'warm');
    const marked = new Set(slot && sweep(slot.marker));
    return sandbox.processes().filter(({ pid }) => marked.has(pid));
  };
const serverReturns: Part['returns'] = (sandbox, stepKey) => {
  const before = sandbox.server(stepKey);
  return () => ![undefined, before].includes(sandbox.server(stepKey)) || sandbox.committed(stepKey);
};
const trainerReturns: Part['returns'] = (sandbox, stepKey) => {
  const before = sandbox.trainings();
  return () => sandbox.trainings() > before || sandbox.committed(stepKey);
};
const eitherReturns: Part['returns'] = (sandbox, stepKey) => {
  const [served, trained] = [serverReturns(sandbox, stepKey), trainerReturns(sandbox, stepKey)];
  return async () => (await served()) || trained();
};

export const parts = {
  'data worker': worker('data'),
  'gpu worker': worker('gpu'),
  orchestrator: worker('orchestrator'),
  'model server': { processes: deviceProcesses('serve'), returns: serverReturns },
  trainer: { processes: deviceProcesses('train'), returns: trainerReturns },
  'Temporal server': {
    processes: (sandbox) => sandbox.processes().filter(({ words }) => words.includes('start-dev')),
    returns: (sandbox) => {
      const { address } = sandbox.current;
      return () =>
        answers({ address }, AbortSignal.timeout(200)).then(
          () => true,
          () => false,
        );
    },
  },
  /** Signals `up` alone: the other processes end because it ended. */
  up: { processes: () => [], returns: eitherReturns, up: true },
  'everything at once': { processes: (sandbox) => sandbox.processes(), returns: eitherReturns, up: true },
} as const satisfies Record<string, Part>;
export type PartName = keyof typeof parts;
