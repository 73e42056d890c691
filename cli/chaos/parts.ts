/** The parts of a running experiment: which processes each is, and how it shows that it has come back. */
import { sweep } from '../../devices/processes.ts';
import { answers } from '../../host/server.ts';
import type { Process, Sandbox } from './sandbox.ts';

export interface Part {
  /** Its processes, as far as they have to do with the step. */
  readonly processes: (sandbox: Sandbox, stepKey: string) => readonly Process[];
  /** Called before it is hit; gives what tells whether it is back. */
  readonly returns: (sandbox: Sandbox, stepKey: string) => () => boolean | Promise<boolean>;
  /** `up` is hit too: whatever is not hit ends with it, and it has to be started again. */
  readonly up?: true;
}

const worker = (kind: string): Part => ({
  processes: (sandbox) => sandbox.processes().filter(({ words }) => words.some((word) => word.endsWith(`/workers/${kind}.ts`))),
  returns: (sandbox) => {
    const before = sandbox.polls(kind);
    return () => sandbox.polls(kind) > before;
  },
});

/** What is on the device of the step; a server may be kept warm there. */
const child =
  (kind: 'serve' | 'train'): Part['processes'] =>
  (sandbox, stepKey) => {
    const slots = sandbox.slots().filter((slot) => slot.kind === kind);
    const slot = slots.find(({ key }) => key.includes(stepKey)) ?? slots.find(({ key }) => key === 'warm');
    const marked = new Set(slot && sweep(slot.marker));
    return sandbox.processes().filter(({ pid }) => marked.has(pid));
  };
const serves: Part['returns'] = (sandbox, stepKey) => {
  const before = sandbox.server(stepKey);
  return () => ![undefined, before].includes(sandbox.server(stepKey)) || sandbox.committed(stepKey);
};
const trains: Part['returns'] = (sandbox, stepKey) => {
  const before = sandbox.trainings();
  return () => sandbox.trainings() > before || sandbox.committed(stepKey);
};
const works: Part['returns'] = (sandbox, stepKey) => {
  const [served, trained] = [serves(sandbox, stepKey), trains(sandbox, stepKey)];
  return async () => (await served()) || trained();
};

export const parts = {
  'data worker': worker('data'),
  'gpu worker': worker('gpu'),
  orchestrator: worker('orchestrator'),
  'model server': { processes: child('serve'), returns: serves },
  trainer: { processes: child('train'), returns: trains },
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
  /** Alone: the others end because it did. */
  up: { processes: () => [], returns: works, up: true },
  'everything at once': { processes: (sandbox) => sandbox.processes(), returns: works, up: true },
} as const satisfies Record<string, Part>;
export type PartName = keyof typeof parts;
