/** How a step is carried out on Temporal: looked up, then computed by activities, under a lease where models are asked. */
import { WorkflowExecutionAlreadyStartedError } from '@temporalio/common';
import { ParentClosePolicy, sleep, startChild } from '@temporalio/workflow';
import type { MapWork } from '../activities/open.ts';
import type { StepContext } from '../activities/services.ts';
import { isRef, type Call } from '../recipe/call.ts';
import type { LedgerEntry } from '../schemas/experiment.ts';
import { queues, workflowId } from '../schemas/names.ts';
import { data, pool } from './options.ts';
import { withLease } from './scopes.ts';
import { stage } from './stage.ts';

/** Carries one step out, from the look-up to the commit. */
export class Performer {
  readonly #store: string;
  readonly #context: StepContext;

  constructor(store: string, context: StepContext) {
    this.#store = store;
    this.#context = context;
  }

  async perform(call: Call, opened: (stepKey: string) => void): Promise<LedgerEntry> {
    const of = call.inputs['of'];
    if (call.verb === 'reduce' || (call.verb === 'evaluate' && isRef(of) && of.kind === 'dataset')) {
      return this.#data('reduce', call, call.what === 'model:external').compute(call, this.#context);
    }
    const opening = await this.#data('open', call).open(call, this.#context);
    if (opening.hit) return opening.hit;
    opened(opening.stepKey);
    if (call.verb === 'train') return this.#pool('train', call, this.#context.training.pool).train(call, this.#context);
    if (opening.work!.external) await this.#data('canary', call, true).canary(call, this.#context);
    return this.#map(call, opening.stepKey, opening.work!);
  }

  async #map(call: Call, stepKey: string, work: MapWork): Promise<LedgerEntry> {
    const slices = await this.#stage(call, stepKey, work);
    if (slices === null) return this.#awaitOther(call, stepKey, work);
    return this.#data('commit', call).commit(call, this.#context, work, slices);
  }

  /** The stage under its lease; null when another experiment's stage computes this very step. */
  async #stage(call: Call, stepKey: string, work: MapWork): Promise<number | null> {
    const { lease, external } = work;
    const queue = lease ? queues.lease(this.#store, stepKey) : this.#queue(external);
    let child;
    try {
      child = await startChild(stage, {
        args: [{ call, context: this.#context, work, queue }],
        workflowId: workflowId.stage(this.#store, call.what, stepKey),
        taskQueue: queues.orchestrator(this.#store),
        parentClosePolicy: ParentClosePolicy.REQUEST_CANCEL,
        staticSummary: `${call.path}: ${call.what} over ${work.over.rows} records`.slice(0, 200),
      });
    } catch (error) {
      if (error instanceof WorkflowExecutionAlreadyStartedError) return null;
      throw error;
    }
    if (!lease || work.slices === 0) return child.result();
    return withLease(
      () => this.#pool('serve', call, lease.serving.pool).serve(call, this.#context, stepKey, lease),
      () => child.result(),
    );
  }

  async #awaitOther(call: Call, stepKey: string, work: MapWork): Promise<LedgerEntry> {
    await sleep('2s', { summary: 'another experiment computes this step' });
    const output = await this.#data('wait', call).lookUpOutput(stepKey);
    return output ?? this.#map(call, stepKey, work);
  }

  #data(verb: string, call: Call, external = false) {
    return data({
      id: `${verb} ${call.path}`,
      summary: `${call.path}: ${call.what}`,
      queue: this.#queue(external),
      experiment: this.#context.experiment,
    });
  }
  #queue(external: boolean): string {
    return external ? queues.external(this.#store) : queues.data(this.#store);
  }
  #pool(verb: string, call: Call, name: string) {
    return pool({
      id: `${verb} ${call.path}`,
      summary: `${call.path}: ${call.what}`,
      queue: queues.pool(this.#store, name),
      experiment: this.#context.experiment,
    });
  }
}
