/** The activities of a data worker. */
import { ApplicationFailure, Context } from '@temporalio/activity';
import { Places } from '../inference/limiter.ts';
import { embeds, type StepCall } from '../schemas/call.ts';
import type { DataActivities } from '../schemas/activities.ts';
import type { LedgerEntry } from '../schemas/experiment.ts';
import { externalsOf, withOwn } from '../steps/external.ts';
import { noteBegun, noteFinished } from './step-notes.ts';
import { checkRoom } from '../steps/open.ts';
import type { MapWork, StageEnd, StepContext } from '../schemas/steps.ts';
import { ownerOf } from './step-owner.ts';
import { hasPoller } from './pollers.ts';
import { recordedSteps } from '../steps/recorded.ts';
import { changedImports } from '../steps/reread.ts';
import { castOf } from '../steps/call-inputs.ts';
import type { Services, ActivityHandle } from '../steps/services.ts';
import { stepsOf } from '../steps/work.ts';
import type { Threads } from './threads.ts';
import { activity } from './wrap.ts';

/** Milliseconds between two looks, at first and at last: half as much again each time. */
const [LOOK_AFTER, LOOK_EVERY] = [2_000, 30_000];
/** What is waited for has not come: the attempt fails, and the next looks again. So a wait of days leaves nothing in a history. */
function notYet(message: string): ApplicationFailure {
  const { attempt } = Context.current().info;
  const nextRetryDelay = Math.min(LOOK_AFTER * 1.5 ** (attempt - 1), LOOK_EVERY);
  return ApplicationFailure.create({ type: 'NotYet', message: message.slice(0, 2000), nextRetryDelay });
}

/** Batches that a data worker runs at once: of operators that ask no model of its own. */
const SHARDS = 4;

/** `threads` take what may be long, or it is done here. */
export function dataActivities(services: Services, threads?: Threads): DataActivities {
  const steps = stepsOf(services);
  const places = new Places((taken) => taken < SHARDS);
  const compute = async (call: StepCall, context: StepContext, beat: ActivityHandle): Promise<LedgerEntry> => {
    if (!threads || call.operation === 'model:external') return steps.compute(call, context, beat);
    return (await steps.known(call, context)) ?? threads.run({ verb: 'compute', args: [call, context] }, beat.signal);
  };
  const commit = (call: StepCall, context: StepContext, work: MapWork, end: StageEnd, { signal }: ActivityHandle): Promise<LedgerEntry> =>
    threads ? threads.run({ verb: 'commit', args: [call, context, work, end] }, signal) : steps.commit(call, context, work, end);
  return {
    open: (call, context) =>
      activity(async () => {
        const opened = await steps.open(call, context);
        await (opened.hit ? noteFinished(services, call, context, opened.hit) : noteBegun(services, call, context, opened.stepKey));
        const pool = opened.hit
          ? undefined
          : call.verb === 'train' || embeds(call) || opened.work?.batch
            ? context.training.pool
            : opened.work?.lease?.serving.pool;
        const unpolled = pool !== undefined && !(await hasPoller(services.store.id, pool));
        return { ...opened, unpolled: unpolled ? pool : null };
      }),
    awaitPoller: (pool) =>
      activity(async () => {
        if (!(await hasPoller(services.store.id, pool))) throw notYet(`No worker polls the pool ${pool}.`);
      }),
    batch: (input) =>
      activity(async (beat) => {
        const run = () => steps.batch(input, withOwn(externalsOf(services, castOf(input.call), input.context)), beat);
        return input.work.external ? run() : places.run(beat.signal, run); // those that a server holds up keep no other back
      }),
    canary: (call, context) => activity((beat) => steps.canary(call, context, beat)),
    commit: (call, context, work, end) =>
      activity(async (beat) => noteFinished(services, call, context, await commit(call, context, work, end, beat))),
    compute: (call, context) => activity(async (beat) => noteFinished(services, call, context, await compute(call, context, beat))),
    awaitOtherOwner: (known, wanted) =>
      activity(async () => {
        const owner = await ownerOf(wanted).catch((error: unknown) => {
          throw notYet((error as Error).message); // of the server, which may be away
        });
        if (owner && owner.experiment === known?.experiment && owner.path === known.path)
          throw notYet(`${owner.experiment} computes it as ${owner.path}.`);
        return owner;
      }),
    changedImports: (imported, context) => activity(() => changedImports(services, imported, context)),
    awaitRoom: () =>
      activity(() =>
        checkRoom(services).catch((error: unknown) => {
          throw notYet((error as Error).message);
        }),
      ),
    record: (news) => activity(() => services.store.addToExperiment(news)),
    recordUntilWritten: (news) =>
      activity(() =>
        services.store.addToExperiment(news).catch((error: unknown) => {
          throw notYet((error as Error).message);
        }),
      ),
    recorded: (name, since, from) => activity(() => recordedSteps(services.store, name, since, from)),
  };
}
