/** Implements the activities of a data worker. */
import { ApplicationFailure, Context } from '@temporalio/activity';
import { Semaphore } from '../inference/limiter.ts';
import { embeds, type StepCall } from '../schemas/call.ts';
import type { DataActivities } from '../schemas/activities.ts';
import type { LedgerEntry } from '../schemas/experiment.ts';
import { externalsOf, withOwn } from '../steps/external.ts';
import { noteBegun, noteFinished } from './step-notes.ts';
import { checkRoom } from '../steps/open.ts';
import type { MapWork, StageEnd, StepContext, StepMiss } from '../schemas/steps.ts';
import { endOf, ownerOf } from './step-owner.ts';
import { deliver } from './notify.ts';
import { hasPoller } from './pollers.ts';
import { poolNotice } from '../steps/pool-notices.ts';
import { recordedSteps } from '../steps/recorded.ts';
import { changedImports } from '../steps/reread.ts';
import { castOf } from '../steps/call-inputs.ts';
import type { Services, ActivityHandle } from '../steps/services.ts';
import { stepsOf } from '../steps/work.ts';
import type { Threads } from './threads.ts';
import { activity } from './wrap.ts';

/** Milliseconds between two attempts: the first and the longest pause. Each pause is 1.5 times the previous one. */
const [FIRST_RETRY_DELAY, MAX_RETRY_DELAY] = [2_000, 30_000];
/** Fails the attempt, so that Temporal retries it later: a wait of days adds nothing to the history. */
function notYet(message: string): ApplicationFailure {
  const { attempt } = Context.current().info;
  const nextRetryDelay = Math.min(FIRST_RETRY_DELAY * 1.5 ** (attempt - 1), MAX_RETRY_DELAY);
  return ApplicationFailure.create({ type: 'NotYet', message: message.slice(0, 2000), nextRetryDelay });
}
const retryUntilItWorks = <T>(attempt: Promise<T>): Promise<T> =>
  attempt.catch((error: unknown) => {
    throw notYet((error as Error).message);
  });

/** Batches that a data worker runs at once, except those of external models. */
const BATCHES = 4;

/** `threads` run computations that may take long. Default: this thread does. */
export function dataActivities(services: Services, threads?: Threads): DataActivities {
  const steps = stepsOf(services);
  const batchSlots = new Semaphore((inUse) => inUse < BATCHES);
  const compute = async (call: StepCall, context: StepContext, beat: ActivityHandle): Promise<LedgerEntry> => {
    if (!threads || call.operation === 'model:external') return steps.compute(call, context, beat);
    const known = await steps.known(call, context);
    if (known) return known;
    await checkRoom(services);
    await steps.download(call, context, beat);
    return threads.run({ verb: 'compute', args: [call, context] }, beat.signal);
  };
  const commit = (call: StepCall, context: StepContext, work: MapWork, end: StageEnd, { signal }: ActivityHandle): Promise<LedgerEntry> =>
    threads ? threads.run({ verb: 'commit', args: [call, context, work, end] }, signal) : steps.commit(call, context, work, end);
  return {
    open: (call, context) =>
      activity(async () => {
        const opened = await steps.open(call, context);
        if (!opened.hit) await requireDevice(services, call, context, opened);
        await (opened.hit ? noteFinished(services, call, context, opened.hit) : noteBegun(services, call, context, opened.stepKey));
        const pool = opened.hit ? undefined : poolOf(call, context, opened);
        const unpolled = pool !== undefined && !(await hasPoller(services.store.id, pool));
        return { ...opened, unpolled: unpolled ? pool : null };
      }),
    awaitPoller: (pool, known) =>
      activity(async () => {
        if (await hasPoller(services.store.id, pool)) return null;
        const notice = await retryUntilItWorks(poolNotice(services.store, pool));
        if (notice !== null && notice !== known) return notice;
        throw notYet(`No worker polls the pool ${pool}.`);
      }),
    batch: (input) =>
      activity(async (beat) => {
        const run = () => steps.batch(input, withOwn(externalsOf(services, castOf(input.call), input.context)), beat);
        return input.work.external ? run() : batchSlots.run(beat.signal, run); // a slow external server blocks no other step
      }),
    canary: (call, context) => activity((beat) => steps.canary(call, context, beat)),
    commit: (call, context, work, end) =>
      activity(async (beat) => noteFinished(services, call, context, await commit(call, context, work, end, beat))),
    compute: (call, context) => activity(async (beat) => noteFinished(services, call, context, await compute(call, context, beat))),
    awaitOtherOwner: (known, wanted) =>
      activity(async () => {
        const owner = await retryUntilItWorks(ownerOf(wanted)); // the Temporal server may be down
        if (owner && owner.experiment === known?.experiment && owner.path === known.path)
          throw notYet(`${owner.experiment} computes it as ${owner.path}.`);
        return owner;
      }),
    awaitEnd: (name, workflowId) =>
      activity(async () => {
        const end = await retryUntilItWorks(endOf(services.store, name, workflowId));
        if (end === undefined) throw notYet(`${name} has not ended.`);
        return end;
      }),
    notify: (message, notify) => activity(({ signal }) => deliver(services.store, message, notify, signal)),
    changedImports: (imported, context) => activity(() => changedImports(services, imported, context)),
    awaitRoom: () => activity(() => retryUntilItWorks(checkRoom(services))),
    record: (news) => activity(() => services.store.addToExperiment(news)),
    recordUntilWritten: (news) => activity(() => retryUntilItWorks(services.store.addToExperiment(news))),
    recorded: (name, since, from) => activity(() => recordedSteps(services.store, name, since, from)),
  };
}

/** The pool whose gpu worker the step needs; undefined: none. */
const poolOf = (call: StepCall, { training }: StepContext, miss: StepMiss): string | undefined =>
  onTrainingPool(call, miss) ? training.pool : miss.work?.lease?.serving.pool;
const onTrainingPool = (call: StepCall, { work }: StepMiss): boolean => call.verb === 'train' || embeds(call) || (work?.batch ?? false);

/** What the training pool computes on is a part of the key of such a step. Its first worker brings it; until then the step cannot be opened. */
async function requireDevice(
  { store, machine }: Services,
  call: StepCall,
  { training: { pool } }: StepContext,
  miss: StepMiss,
): Promise<void> {
  if (!store.shared || !onTrainingPool(call, miss) || machine.knows(pool)) return;
  const notice = await poolNotice(store, pool).catch(() => null);
  throw notYet(`No worker of the pool ${pool} has ever joined, and the key of this step depends on its devices. ${notice ?? ''}`.trim());
}
