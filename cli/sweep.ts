/** The verbs for a sweep: `plan`, `launch`, `status`, `watch` and `cancel` come here with the file or the name of one. */
import { setTimeout as wait } from 'node:timers/promises';
import { withTemporal } from '../experiments/current.ts';
import { currentSweep, startSweep } from '../experiments/start-sweep.ts';
import type { Sweep } from '../experiments/sweep.ts';
import type { SweepMean, SweepView } from '../experiments/sweep-table.ts';
import { explain } from '../experiments/send.ts';
import { connect } from '../host/connect.ts';
import { homeFolder } from '../host/home.ts';
import { refuseOtherBuild } from '../host/builds.ts';
import { identitiesOf, sharedPlan, type SharedPlan } from '../plan/equal-steps.ts';
import { planned } from '../plan/planner.ts';
import { BackspinError } from '../schemas/errors.ts';
import { workflowId } from '../schemas/names.ts';
import type { SweepRecord } from '../schemas/sweep.ts';
import { duration, number, size } from '../schemas/units.ts';
import { openServices } from '../steps/services.ts';
import type { Store } from '../store/store.ts';
import { ensureUp, prepare, writesOf } from './prepare.ts';
import { printJson, table } from './terminal/text.ts';

const NEW = { parent: null, pins: {} } as const;

/** Shows what the experiments share. Returns 1 if one of them misses something. */
export async function planSweep({ name, members }: Sweep, json = false): Promise<number> {
  const services = await openServices(homeFolder());
  const plans = [];
  for (const { experiment } of members) {
    const { plan, calls } = await planned(services, experiment.bound);
    plans.push({ plan, identities: await identitiesOf(plan, calls, services.machine) });
  }
  const shared = sharedPlan(plans);
  const missing = [...new Set(plans.flatMap(({ plan }) => plan.missing))];
  if (json) printJson({ sweep: name, ...shared, missing, plans: plans.map(({ plan }) => plan) });
  else console.log(planText(name, shared, members, missing));
  return missing.length > 0 ? 1 : 0;
}

function planText(name: string, shared: SharedPlan, members: Sweep['members'], missing: readonly string[]): string {
  const { experiments, steps, different, cached, requests, requestsAlone, trainingSteps, trainingStepsAlone, bytes } = shared;
  return [
    `${name}: ${number(experiments)} experiments with ${number(steps)} steps, of which ${number(steps - different)} are shared: ${number(different)} run, ${number(cached)} of them cached`,
    `At most ${number(requests)} model calls (${number(requestsAlone)} without sharing), ${number(trainingSteps)} training steps (${number(trainingStepsAlone)}) and ${size(bytes)} to come`,
    '',
    memberTable(members.map(({ experiment, values, seed }) => ({ experiment: experiment.bound.name, values, seed }))),
    ...(missing.length === 0 ? [] : ['', 'Missing:', ...missing.map((one) => `  ${one}`)]),
  ].join('\n');
}

type Member = SweepRecord['members'][number]['values'];
function memberTable(
  members: readonly {
    readonly experiment: string;
    readonly values: Member;
    readonly seed: number;
    readonly state?: string;
    readonly round?: number | null;
    readonly deviceSeconds?: number;
  }[],
) {
  const paths = [...new Set(members.flatMap(({ values }) => Object.keys(values)))];
  const hasState = members.some(({ state }) => state !== undefined);
  return table(
    ['experiment', ...paths, 'seed', ...(hasState ? ['state', 'round', 'device time'] : [])],
    members.map(({ experiment, values, seed, state, round, deviceSeconds }) => [
      experiment,
      ...paths.map((path) => formatValue(values[path])),
      seed,
      ...(hasState ? [state ?? '', round ?? null, deviceSeconds ? duration(deviceSeconds) : null] : []),
    ]),
  );
}
const formatValue = (value: unknown) => (value === undefined ? '' : typeof value === 'string' ? value : JSON.stringify(value));

/** Starts the sweep, or attaches to it. Returns the exit code. */
export async function launchSweep(store: Store, sweep: Sweep, watch: boolean): Promise<number> {
  const { name, members } = sweep;
  if ((await store.experimentNames()).includes(name))
    throw new BackspinError('NameInUse', `There is an experiment ${name} already: give the sweep another name (--name).`);
  const prepared: { readonly experiment: Sweep['members'][number]['experiment']; readonly launch: Awaited<ReturnType<typeof prepare>> }[] =
    [];
  for (const { experiment } of members) prepared.push({ experiment, launch: await prepare(store, experiment, NEW) });
  const completed = new Set(
    prepared.flatMap(({ launch, experiment }) => (launch.before?.state === 'completed' ? [experiment.bound.name] : [])),
  );
  await ensureUp(store);
  await refuseOtherBuild(store);
  const temporal = await connect();
  try {
    const begun = await startSweep(temporal.client, store, sweep, completed, async () => {
      for (const { experiment, launch } of prepared)
        if (launch.begins) await (await writesOf(store, experiment, launch, NEW)).writes.begin();
    });
    console.log(
      `${name} is ${begun === 'attached' ? 'running already; attached to it' : `launched: ${members.length} experiments, ${completed.size} of them completed before`}.`,
    );
  } finally {
    await temporal.close();
  }
  const record = {
    name,
    workflowId: workflowId.sweep(store.id, name),
    members: members.map(({ experiment, values, seed }) => ({ name: experiment.bound.name, values, seed })),
  };
  return watch ? watchSweep(store, record) : statusOfSweep(store, record).then(() => 0);
}

export async function statusOfSweep(store: Store, sweep: SweepRecord, json = false): Promise<void> {
  await withTemporal(async (temporal, why) => {
    const view = await currentSweep(store, sweep, temporal, why);
    if (json) return printJson({ ...view, stale: why });
    console.log(viewText(view));
    if (why !== null) console.error(`Note: ${why}.`);
  });
}

function viewText({ members, rows }: SweepView): string {
  const paths = [...new Set(rows.flatMap(({ values }) => Object.keys(values)))];
  const metrics = [...new Set(rows.flatMap((row) => Object.keys(row.metrics)))];
  const cells = rows.map(({ values, arm, metrics: own }) => [
    ...paths.map((path) => formatValue(values[path])),
    arm ?? '',
    ...metrics.map((metric) => formatMean(own[metric])),
  ]);
  if (rows.length === 0) return memberTable(members);
  return [
    memberTable(members),
    '',
    'Means over seeds in the last round, with 95 % intervals (Student) and the number of experiments:',
    table([...paths, 'arm', ...metrics], cells),
  ].join('\n');
}

function formatMean(mean: SweepMean | undefined): string {
  if (!mean) return '';
  const { low, high, of } = mean;
  return low === null || high === null ? number(mean.mean) : `${mean.mean.toFixed(3)} (${low.toFixed(3)} to ${high.toFixed(3)}, ${of})`;
}

/** Milliseconds. */
const EVERY = 2_000;

/** Prints every change, and at the end the table. Returns 0 if all are completed, 1 if one failed or was cancelled, else 2: one waits. */
export async function watchSweep(store: Store, sweep: SweepRecord): Promise<number> {
  const temporal = await connect();
  const printed = new Map<string, string>();
  try {
    for (;;) {
      const view = await currentSweep(store, sweep, temporal, null);
      for (const { experiment, state, round } of view.members) {
        const line = `${experiment} ${state}${round === null ? '' : `, round ${round}`}`;
        if (printed.get(experiment) !== line) console.log(line);
        printed.set(experiment, line);
      }
      const states = view.members.map(({ state }) => state);
      if (states.every((state) => !['running', 'paused', 'not begun'].includes(state))) {
        console.log(`\n${viewText(view)}`);
        return states.every((state) => state === 'completed') ? 0 : states.includes('attention') ? 2 : 1;
      }
      await wait(EVERY);
    }
  } finally {
    await temporal.close();
  }
}

/** Cancels the experiments of a sweep that run. */
export async function cancelSweep({ name, workflowId: id }: SweepRecord): Promise<void> {
  const temporal = await connect();
  try {
    await temporal.client.workflow.getHandle(id).cancel();
  } catch (error) {
    throw explain(error, name, temporal);
  } finally {
    await temporal.close();
  }
  console.log(`${name} and its experiments are being cancelled: \`backspin status ${name}\` shows when they have ended.`);
}
