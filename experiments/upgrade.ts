/** Moves running experiments to a new build. Before the workers of a build start, each experiment of another build is restarted in
 *  place: its recipe runs from the top, and steps whose keys have not changed come from the store. Decisions of people (approvals,
 *  budgets, pauses) carry over. This needs no old code, and a crash in between leaves a state that the next start can handle. */
import { WorkflowNotFoundError, type Client, type WorkflowExecutionDescription } from '@temporalio/client';
import { decodeArrayFromPayloads } from '@temporalio/common/lib/internal-non-workflow/index.js';
import type { Services } from '../steps/services.ts';
import { fingerprintOf, isRef } from '../schemas/call.ts';
import { importsOf } from '../recipe/inputs.ts';
import type { BoundConfig } from '../schemas/config.ts';
import { isClosed, type LedgerEntry } from '../schemas/experiment.ts';
import { workflowId } from '../schemas/names.ts';
import { CONTROL_MEMO, type Carried, type ExperimentInput, type ControlMemo } from '../schemas/messages.ts';
import { stillPinned } from '../workflows/pins.ts';
import { withEnd } from './progress.ts';
import { startOptions } from './start.ts';

type UpgradeContext = Pick<Services, 'store' | 'registry'>;

/** Returns the names of the restarted experiments. No worker of the store may run meanwhile. */
export async function upgradeExperiments(client: Client, services: UpgradeContext, build: string): Promise<string[]> {
  const taken: string[] = [];
  const ids = async (type: string, beginning: string) => {
    const found: string[] = [];
    for await (const { workflowId: id } of client.workflow.list({ query: `WorkflowType = '${type}' AND ExecutionStatus = 'Running'` }))
      if (id.startsWith(beginning)) found.push(id);
    return found;
  };
  // The server's list may lag, and the store may have lost a record.
  const named = (await services.store.experimentNames()).map((name) => workflowId.experiment(services.store.id, name));
  for (const id of new Set([...named, ...(await ids('experiment', workflowId.experiment(services.store.id, '')))])) {
    const name = id.slice(workflowId.experiment(services.store.id, '').length);
    const described = await describeRunning(client, id);
    if (!described || isCurrentBuild(build, described)) continue;
    // First the child workflows, because only their experiment knows them for certain.
    for (const child of described.raw.pendingChildren ?? []) await terminate(client, child.workflowId!, build);
    if (described.raw.workflowExtendedInfo?.cancelRequested) await closeCancelled(client, services, name, described);
    else await restart(client, services, described, build);
    taken.push(name);
  }
  // Child workflows of experiments that were terminated, or that ended before them.
  for (const stage of await ids('stage', workflowId.stages(services.store.id))) {
    const described = await describeRunning(client, stage);
    if (described && !isCurrentBuild(build, described)) await terminate(client, stage, build);
  }
  return taken;
}

async function describeRunning(client: Client, id: string): Promise<WorkflowExecutionDescription | undefined> {
  try {
    const described = await client.workflow.getHandle(id).describe();
    return described.status.name === 'RUNNING' ? described : undefined;
  } catch (error) {
    if (error instanceof WorkflowNotFoundError) return undefined;
    throw error;
  }
}

/** A workflow without a completed task belongs to any build. */
function isCurrentBuild(build: string, described: WorkflowExecutionDescription): boolean {
  const of = buildOf(described);
  return of === undefined || of === build;
}
const buildOf = ({ raw }: WorkflowExecutionDescription): string | undefined =>
  raw.workflowExecutionInfo?.mostRecentWorkerVersionStamp?.buildId ?? undefined;

async function terminate(client: Client, id: string, build: string): Promise<void> {
  try {
    await client.workflow.getHandle(id).terminate(`the build ${build.slice(0, 8)} does its work anew`);
  } catch (error) {
    if (!(error instanceof WorkflowNotFoundError)) throw error;
  }
}

/** Closes an experiment whose cancellation its workflow has not yet handled. */
async function closeCancelled(
  client: Client,
  { store }: UpgradeContext,
  name: string,
  { workflowId: id }: WorkflowExecutionDescription,
): Promise<void> {
  const record = await store.experiment(name).catch(() => undefined); // damaged record
  if (record && !isClosed(record)) await store.putExperiment(withEnd(record, { state: 'cancelled', failure: null }));
  await client.workflow.getHandle(id).terminate('it was cancelled');
}

/** Marks its finished steps as its own, even if their files change. */
async function keepFinished({ store }: UpgradeContext, name: string): Promise<void> {
  const steps = (await store.experiment(name).catch(() => undefined))?.steps ?? [];
  const keys = steps.flatMap(({ state, stepKey }) => (state === 'completed' && stepKey !== null ? [stepKey] : []));
  await store.putFinished(name, [...new Set([...(await store.finished(name)), ...keys])]);
}

/** The server atomically terminates the workflow and starts its successor under the same id. */
async function restart(client: Client, services: UpgradeContext, described: WorkflowExecutionDescription, build: string): Promise<void> {
  const before = await readInput(client, described);
  const { mended, ...said } = (described.memo?.[CONTROL_MEMO] ?? before.carried ?? {}) as Partial<ControlMemo & Carried>;
  const { config, configDigest } = mended ?? before;
  await keepFinished(services, config.name);
  const old = buildOf(described)!.slice(0, 8);
  const now = `${new Date().toISOString().slice(0, 16).replace('T', ' ')} UTC`;
  const sentence = `${now}: other files of backspin were started (build ${build.slice(0, 8)}, before ${old}). The recipe runs from the top, with what the store has.`;
  const input: ExperimentInput = {
    ...before,
    config,
    configDigest,
    pins: stillPinned(before.pins, before.config, config),
    carried: {
      approved: said.approved ?? [],
      rejected: said.rejected ?? [],
      budgets: said.budgets ?? {},
      lost: said.lost ?? [],
      paused: said.paused ?? false,
      stopAfter: said.stopAfter ?? null,
      ...(said.notified && { notified: said.notified }),
      ...(said.undelivered && { undelivered: said.undelivered }),
      ...(said.reviews && { reviews: said.reviews }),
      upgraded: [...(said.upgraded ?? []), sentence].slice(-MAX_NOTICES),
      ledger: await reusableImports(services, config),
      decisions: {},
      healed: [],
      stood: {}, // the new code may fix the problem
    },
  };
  await client.workflow.start('experiment', { ...startOptions(input), workflowIdConflictPolicy: 'TERMINATE_EXISTING' });
}
/** Notices of the last upgrades. */
const MAX_NOTICES = 3;

/** Reads the input of a run from its history. */
async function readInput(client: Client, { workflowId: id, runId }: WorkflowExecutionDescription): Promise<ExperimentInput> {
  const { history } = await client.workflowService.getWorkflowExecutionHistory({
    namespace: client.options.namespace,
    execution: { workflowId: id, runId },
    maximumPageSize: 1,
  });
  const { payloads } = history!.events![0]!.workflowExecutionStartedEventAttributes!.input!;
  const [input] = await decodeArrayFromPayloads(client.options.loadedDataConverter, payloads);
  return input as ExperimentInput;
}

/** Keeps imported sources and models even if their files have changed, unless a new version reads them differently. */
async function reusableImports({ store, registry }: UpgradeContext, config: BoundConfig): Promise<Record<string, LedgerEntry>> {
  const steps = new Map((await store.experiment(config.name).catch(() => undefined))?.steps.map((step) => [step.path, step]));
  const now = await registry(config.modules).catch(() => undefined); // if a module has changed, its versions are unknown: its steps will report that
  const ledger: Record<string, LedgerEntry> = {};
  for (const call of await importsOf(config)) {
    const { stepKey = null, result = null } = steps.get(call.path) ?? {};
    const output = stepKey === null ? undefined : await store.output(stepKey);
    if (!output || !isRef(result) || !(await store.has(result))) continue;
    const same = Object.entries(output.versions).every(([id, version]) => now === undefined || versionIn(now, id) === version);
    if (same) ledger[fingerprintOf(call)] = { result, stepKey: output.stepKey, cached: true };
  }
  return ledger;
}
function versionIn(registry: Awaited<ReturnType<UpgradeContext['registry']>>, id: string): number | undefined {
  try {
    return registry.version(id);
  } catch {
    return undefined; // the operator no longer exists
  }
}
