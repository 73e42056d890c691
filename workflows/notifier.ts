/** Posts a message once when something begins to wait for a person, and when the experiment ends. */
import { CancellationScope, condition, uuid4 } from '@temporalio/workflow';
import { hash } from '../schemas/call.ts';
import type { BoundConfig } from '../schemas/config.ts';
import type { Attention } from '../schemas/experiment.ts';
import { queues } from '../schemas/names.ts';
import type { Notification, NotifyEvent } from '../schemas/notify.ts';
import { causeOf } from './errors.ts';
import { data } from './options.ts';
import type { ExperimentState } from './state.ts';

/** Tries of a message, over some five minutes. */
const TRIES = 12;

export class Notifier {
  readonly #store: string;
  readonly #config: BoundConfig;
  readonly #state: ExperimentState;
  #pending = 0;

  constructor(store: string, config: BoundConfig, state: ExperimentState) {
    this.#store = store;
    this.#config = config;
    this.#state = state;
  }

  /** The next run of the workflow stands at the same again, and posts nothing then. */
  stands({ path, reason, remedy }: Attention): void {
    const seen = hash(reason);
    if (!this.#isOn('attention') || this.#state.notified.get(path) === seen) return;
    const sentence = `${path} waits: ${reason.replace(/\.$/, '')}. ${remedy}`;
    void this.#post('attention', { path, reason, remedy }, sentence).then(() => {
      if (this.#state.attention.has(path)) this.#state.notified.set(path, seen); // else somebody has answered
    });
  }
  /** It waits no more: when it does so again, that is another event. */
  answered(path: string): void {
    this.#state.notified.delete(path);
  }

  async ended(event: 'completed' | 'failed' | 'cancelled', failure: string | null): Promise<void> {
    if (!this.#isOn(event)) return this.idle();
    const sentence = event === 'failed' ? `failed: ${failure}` : `is ${event}`;
    await this.#post(event, { path: null, reason: failure, remedy: null }, sentence);
    await this.idle();
  }

  /** Resolves once no message is under way. */
  async idle(): Promise<void> {
    if (this.#pending > 0) await CancellationScope.nonCancellable(() => condition(() => this.#pending === 0));
  }

  #isOn = (event: NotifyEvent): boolean => this.#config.notify?.on.includes(event) ?? false;

  /** Never throws: a message that cannot be delivered is a notice. */
  async #post(event: NotifyEvent, what: Pick<Notification, 'path' | 'reason' | 'remedy'>, sentence: string): Promise<void> {
    const { name: experiment, recipe } = this.#config;
    const text = what.path === null ? `${experiment} ${sentence}` : `${experiment}: ${sentence}`;
    const message: Notification = { id: uuid4(), event, experiment, recipe, round: this.#state.round, ...what, text, content: text };
    const activity = data({ id: `notify ${message.id}`, summary: `notify: ${text}`, queue: queues.data(this.#store), experiment }, TRIES);
    this.#pending++;
    try {
      await CancellationScope.nonCancellable(() => activity.notify(message, this.#config.notify!));
    } catch (error) {
      this.#state.undelivered.add(`The message about "${sentence.slice(0, 80)}" could not be delivered: ${causeOf(error).message}`);
      this.#state.publish();
    } finally {
      this.#pending--;
    }
  }
}
