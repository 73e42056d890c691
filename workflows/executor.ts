/** Carries out a step on Temporal: looks it up, then computes it by activities, under a lease if it needs models. */
import { WorkflowExecutionAlreadyStartedError } from '@temporalio/common';
import {
  CancellationScope,
  condition,
  isCancellation,
  ParentClosePolicy,
  sleep,
  startChild,
  type ChildWorkflowHandle,
} from '@temporalio/workflow';
import type { Lease, MapWork, Spent, StageEnd, StepContext, StepOwner, Budget } from '../schemas/steps.ts';
import { embeds, isRef, type StepCall } from '../schemas/call.ts';
import type { LedgerEntry } from '../schemas/experiment.ts';
import { queues, workflowId } from '../schemas/names.ts';
import { causeOf, isTermination, type Cause } from './errors.ts';
import { data, pool } from './options.ts';
import { withLeases } from './scopes.ts';
import { stage } from './stage.ts';

/** Observes the progress of a step, and decides about its budget. */
export interface StepObserver {
  opened(call: StepCall, stepKey: string): void;
  budgetOf(call: StepCall): Budget;
  /** True: the map is done, with the records that it kept. False: it goes on under a new budget. */
  spent(call: StepCall, spent: Spent): Promise<boolean>;
  /** No worker polls the pool that the step needs (null: one does, or the step has ended). `notice`: what starts its workers says why. */
  unpolled(call: StepCall, pool: string | null, notice?: string): void;
  /** Who else computes the step, in words (null: nobody, or the step has ended). */
  other(call: StepCall, who: string | null): void;
  /** One of `of` leases is lost for good, and the others go on. */
  leaseLost(call: StepCall, of: number, why: Cause): void;
}

/** Milliseconds before this experiment looks a step up again that another has taken over. The other starts it within two seconds. */
const TAKEOVER_PAUSE = 15_000;

/** Carries out one step, from the look-up to the commit. */
export class StepExecutor {
  readonly #store: string;
  readonly #context: StepContext;
  readonly #observer: StepObserver;

  constructor(store: string, context: StepContext, observer: StepObserver) {
    this.#store = store;
    this.#context = context;
    this.#observer = observer;
  }

  async perform(call: StepCall): Promise<LedgerEntry> {
    const executor = new StepExecutor(this.#store, { ...this.#context, began: Date.now() }, this.#observer);
    for (;;) {
      const entry = await executor.#attempt(this.#budgeted(call));
      if (entry !== null) return entry;
    }
  }

  /** Null: the step must begin again. */
  async #attempt(call: StepCall): Promise<LedgerEntry | null> {
    const of = call.inputs['of'];
    const onPool = embeds(call);
    if ((call.verb === 'reduce' && !onPool) || (call.verb === 'evaluate' && isRef(of) && of.kind === 'dataset')) {
      return this.#data('reduce', call, call.operation === 'model:external').compute(call, this.#context);
    }
    const opening = await this.#data('open', call).open(call, this.#context);
    if (opening.hit) return opening.hit;
    this.#observer.opened(call, opening.stepKey);
    const carryOut = async (): Promise<LedgerEntry | null> => {
      if (call.verb === 'train') return this.#pool('train', call, this.#context.training.pool).train(call, this.#context);
      if (onPool) return this.#pool('embed', call, this.#context.training.pool).embed(call, this.#context);
      const offline = call.verb === 'evaluate' || opening.work!.tags ? 'tag' : 'score'; // in earlier histories the work of an evaluation has no `tags`
      if (opening.work!.batch) return this.#pool(offline, call, this.#context.training.pool)[offline](call, this.#context, opening.work!);
      if (opening.work!.external) await this.#data('canary', call, true).canary(call, this.#context);
      return this.#map(call, opening.stepKey, opening.work!);
    };
    return opening.unpolled === null ? carryOut() : this.#watching(call, opening.unpolled, carryOut);
  }

  /** Carries out a step whose pool had no worker when the step was opened, and reports that while it lasts. */
  async #watching<T>(call: StepCall, pool: string, carryOut: () => Promise<T>): Promise<T> {
    const watch = new CancellationScope();
    const watching = watch.run(async () => {
      let [polled, grace] = [false, true];
      let notice: string | null = null;
      const report = () => void (!polled && !grace && this.#observer.unpolled(call, pool, notice ?? undefined));
      const coming = (async () => {
        // In earlier histories the activity returns nothing, and has seen a worker.
        for (let news; (news = (await this.#data('watch', call).awaitPoller(pool, notice)) ?? null) !== null; report()) notice = news;
        polled = true;
      })();
      coming.catch(() => {}); // a step that ends within 30 s cancels it, and nobody awaits it then
      if (await condition(() => polled, '30s')) return;
      grace = false;
      report();
      await coming;
      this.#observer.unpolled(call, null);
    });
    watching.catch(() => {}); // may be cancelled long before the step ends; it only reports
    try {
      return await carryOut();
    } finally {
      watch.cancel();
      await watching.catch(() => {});
      this.#observer.unpolled(call, null);
    }
  }

  /** Resolves once the store has room for one step more. */
  room(call: StepCall): Promise<void> {
    return this.#data('room', call).awaitRoom();
  }

  /** The call with the budget that people have set since. */
  #budgeted(call: StepCall): StepCall {
    const budget = this.#observer.budgetOf(call);
    return Object.keys(budget).length === 0 ? call : { ...call, inputs: { ...call.inputs, budget } };
  }

  /** Null: the map has a new budget, or another experiment has stopped computing it. */
  async #map(call: StepCall, stepKey: string, work: MapWork): Promise<LedgerEntry | null> {
    const scope = new CancellationScope(); // cancels only the stage
    const child = await scope.run(() => this.#stage(call, stepKey, work));
    if (child === null) return this.#awaitOther(call, stepKey, work.lease);
    /** Null: a person ended the stage, or another experiment that can serve the step where this one cannot. */
    const result = (): Promise<StageEnd | null> =>
      child.result().catch((error: unknown) => {
        if ((isCancellation(error) || isTermination(error)) && !scope.consideredCancelled) return null;
        throw error;
      });
    const finish = async (end: StageEnd | null): Promise<LedgerEntry | null> => {
      if (end === null) {
        await sleep(TAKEOVER_PAUSE, { summary: 'another experiment takes the step over' });
        return null;
      }
      if (end.spent !== null && !(await this.#observer.spent(call, end.spent))) return null;
      return this.#data('commit', call).commit(call, this.#context, work, end);
    };
    const { lease, batches } = work;
    const leases =
      lease && batches > 0 ? Array.from({ length: lease.replicas }, (_, replica) => () => this.#hold(call, stepKey, lease, replica)) : [];
    const lost = (error: unknown) => this.#observer.leaseLost(call, leases.length, causeOf(error));
    return withLeases(leases, scope, result, finish, lost);
  }

  /** Starts the stage, which waits for its lease. Null: a stage of another experiment computes this step. */
  async #stage(call: StepCall, stepKey: string, work: MapWork): Promise<ChildWorkflowHandle<typeof stage> | null> {
    const queue = work.lease ? queues.lease(this.#store, stepKey) : this.#queue(work.external);
    try {
      return await startChild(stage, {
        args: [{ call, context: this.#context, work, queue }],
        workflowId: this.#stageId(call, stepKey),
        taskQueue: queues.orchestrator(this.#store),
        parentClosePolicy: ParentClosePolicy.REQUEST_CANCEL,
        memo: { experiment: this.#context.experiment, path: call.path },
        staticSummary: `${call.path}: ${call.operation} over ${work.over.rows} records`.slice(0, 200),
      });
    } catch (error) {
      if (error instanceof WorkflowExecutionAlreadyStartedError) return null;
      throw error;
    }
  }

  /** Holds a device group until the step ends. If the lease gives way to others, it queues again behind them. */
  async #hold(call: StepCall, stepKey: string, lease: Lease, replica: number): Promise<void> {
    const { serve } = this.#pool(replica === 0 ? 'serve' : `serve ${replica + 1}`, call, lease.serving.pool);
    for (let gaveWay = true; gaveWay;) gaveWay = await serve(call, this.#context, stepKey, lease, replica);
  }

  #stageId = (call: StepCall, stepKey: string): string => workflowId.stage(this.#store, call.operation, stepKey);

  /** Waits while somebody else computes this step. Then the result is in the store, or this experiment takes the step over. */
  async #awaitOther(call: StepCall, stepKey: string, lease: Lease | null): Promise<null> {
    const wanted = { store: this.#store, stage: this.#stageId(call, stepKey), pool: lease && lease.serving.pool };
    try {
      for (let owner: StepOwner | null = null; ;) {
        owner = await this.#data('wait', call).awaitOtherOwner(owner, wanted);
        if (owner === null) return null;
        this.#observer.other(call, this.#words(owner));
      }
    } finally {
      this.#observer.other(call, null);
    }
  }
  #words = ({ experiment, path }: StepOwner): string =>
    experiment === this.#context.experiment ? `its own step ${path}` : `another experiment: ${experiment}, its step ${path}`;

  #data(verb: string, call: StepCall, external = false) {
    return data({
      id: `${verb} ${call.path}`,
      summary: `${call.path}: ${call.operation}`,
      queue: this.#queue(external),
      experiment: this.#context.experiment,
    });
  }
  #queue(external: boolean): string {
    return external ? queues.external(this.#store) : queues.data(this.#store);
  }
  #pool(verb: string, call: StepCall, name: string) {
    return pool({
      id: `${verb} ${call.path}`,
      summary: `${call.path}: ${call.operation}`,
      queue: queues.pool(this.#store, name),
      experiment: this.#context.experiment,
    });
  }
}
