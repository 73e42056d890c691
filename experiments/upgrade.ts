/**
 * New code under running experiments. Before the workers of a build begin, every experiment that another build has run is started anew in
 * its place: its recipe runs from the top, and takes from the store what still has the same key. What a person has said stays said.
 * Nothing of the code of before is needed, and whoever dies in the midst of it leaves something that the next can take over.
 */
import { WorkflowNotFoundError, type Client, type WorkflowExecutionDescription } from '@temporalio/client';
import { defaultPayloadConverter } from '@temporalio/common';
import type { Services } from '../steps/services.ts';
import { fingerprintOf, isRef } from '../schemas/call.ts';
import { importsOf } from '../recipe/inputs.ts';
import type { BoundConfig } from '../schemas/config.ts';
import { isClosed, type LedgerEntry } from '../schemas/experiment.ts';
import { workflowId } from '../schemas/names.ts';
import { CONTROL_MEMO, type Carried, type ExperimentInput, type ControlMemo } from '../schemas/messages.ts';
import { stillPinned } from '../workflows/pins.ts';
import { ended } from './progress.ts';
import { startOptions } from './start.ts';

type UpgradeContext = Pick<Services, 'store' | 'registry'>;

/** Gives the names of those that were taken over. No worker of the store may run meanwhile. */
export async function takeOver(client: Client, site: UpgradeContext, build: string): Promise<string[]> {
  const taken: string[] = [];
  const ids = async (type: string, beginning: string) => {
    const found: string[] = [];
    for await (const { workflowId: id } of client.workflow.list({ query: `WorkflowType = '${type}' AND ExecutionStatus = 'Running'` }))
      if (id.startsWith(beginning)) found.push(id);
    return found;
  };
  // The server's list may be a moment behind, and the store may have lost a record.
  const named = (await site.store.experimentNames()).map((name) => workflowId.experiment(site.store.id, name));
  for (const id of new Set([...named, ...(await ids('experiment', workflowId.experiment(site.store.id, '')))])) {
    const name = id.slice(workflowId.experiment(site.store.id, '').length);
    const described = await running(client, id);
    if (!described || isOf(build, described)) continue;
    // First, since only their experiment knows them for sure.
    for (const child of described.raw.pendingChildren ?? []) await terminate(client, child.workflowId!, build);
    if (described.raw.workflowExtendedInfo?.cancelRequested) await close(client, site, name, described);
    else await startAnew(client, site, described, build);
    taken.push(name);
  }
  // Those of experiments that were terminated, or that have ended without them.
  for (const stage of await ids('stage', workflowId.stages(site.store.id))) {
    const described = await running(client, stage);
    if (described && !isOf(build, described)) await terminate(client, stage, build);
  }
  return taken;
}

async function running(client: Client, id: string): Promise<WorkflowExecutionDescription | undefined> {
  try {
    const described = await client.workflow.getHandle(id).describe();
    return described.status.name === 'RUNNING' ? described : undefined;
  } catch (error) {
    if (error instanceof WorkflowNotFoundError) return undefined;
    throw error;
  }
}

/** One that has done nothing yet is anybody's. */
function isOf(build: string, described: WorkflowExecutionDescription): boolean {
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

/** Ends one that was cancelled and has not heard of it: nothing is to be gone on with. */
async function close(
  client: Client,
  { store }: UpgradeContext,
  name: string,
  { workflowId: id }: WorkflowExecutionDescription,
): Promise<void> {
  const record = await store.experiment(name).catch(() => undefined); // damaged
  if (record && !isClosed(record)) await store.putExperiment(ended(record, { state: 'cancelled', failure: null }));
  await client.workflow.getHandle(id).terminate('it was cancelled');
}

/** The steps that it has finished are its own from now on, whatever files stand behind them. */
async function keepFinished({ store }: UpgradeContext, name: string): Promise<void> {
  const steps = (await store.experiment(name).catch(() => undefined))?.steps ?? [];
  const keys = steps.flatMap(({ state, stepKey }) => (state === 'completed' && stepKey !== null ? [stepKey] : []));
  await store.putFinished(name, [...new Set([...(await store.finished(name)), ...keys])]);
}

/** In one moment the server ends the workflow and starts its successor, under the same id. */
async function startAnew(client: Client, site: UpgradeContext, described: WorkflowExecutionDescription, build: string): Promise<void> {
  const before = await inputOf(client, described);
  const { mended, ...said } = (described.memo?.[CONTROL_MEMO] ?? before.carried ?? {}) as Partial<ControlMemo & Carried>;
  const { config, configDigest } = mended ?? before;
  await keepFinished(site, config.name);
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
      upgraded: [...(said.upgraded ?? []), sentence].slice(-SENTENCES),
      ledger: await importsIn(site, config),
      decisions: {},
      healed: [],
      stood: {}, // the new code may mend it
    },
  };
  await client.workflow.start('experiment', { ...startOptions(input), workflowIdConflictPolicy: 'TERMINATE_EXISTING' });
}
/** Of the last upgrades. */
const SENTENCES = 3;

/** What the run was started with. */
async function inputOf(client: Client, { workflowId: id, runId }: WorkflowExecutionDescription): Promise<ExperimentInput> {
  const { history } = await client.workflowService.getWorkflowExecutionHistory({
    namespace: client.options.namespace,
    execution: { workflowId: id, runId },
    maximumPageSize: 1,
  });
  const [payload] = history?.events?.[0]?.workflowExecutionStartedEventAttributes?.input?.payloads ?? [];
  return defaultPayloadConverter.fromPayload<ExperimentInput>(payload!);
}

/** Sources and models that were read in stay as they are, whatever their files are by now, unless a newer version reads them otherwise. */
async function importsIn({ store, registry }: UpgradeContext, config: BoundConfig): Promise<Record<string, LedgerEntry>> {
  const steps = new Map((await store.experiment(config.name).catch(() => undefined))?.steps.map((step) => [step.path, step]));
  const now = await registry(config.modules).catch(() => undefined); // of a module that has changed nothing is known: its steps will say so
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
    return undefined; // it is gone
  }
}
