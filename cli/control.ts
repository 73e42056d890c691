/** Implements the verbs that control an open experiment. Each sends one Temporal update; a refused update returns the reason. */
import type { WorkflowHandle } from '@temporalio/client';
import type { UpdateDefinition } from '@temporalio/common';
import type { Budget } from '../schemas/steps.ts';
import * as messages from '../schemas/messages.ts';
import { openHome } from '../host/home-store.ts';
import { experimentOf } from '../experiments/record.ts';
import { sendUpdate } from '../experiments/send.ts';

export const targetOf = (step: string | undefined): messages.Target => (step === undefined ? {} : { path: step });
const onStep = (update: UpdateDefinition<void, [messages.Target]>, said: string) => ({
  run: (name: string, step: string | undefined): Promise<void> =>
    send(name, (handle) => handle.executeUpdate(update, { args: [targetOf(step)] }), said),
});
const onAll = (update: UpdateDefinition<void, []>, said: string) => ({
  run: (name: string): Promise<void> => send(name, (handle) => handle.executeUpdate(update), said),
});

export const approve = onStep(messages.approve, 'goes on');
export const reject = onStep(messages.reject, 'ends with what it had before the round');
export const giveUp = onStep(messages.giveUp, 'has given the step up');
export const pause = onAll(messages.pause, 'is paused; `backspin resume` goes on');
export const resume = onAll(messages.resume, 'goes on');
export const stop = {
  run: (name: string, { afterRound: round }: { afterRound: number }): Promise<void> =>
    send(name, (handle) => handle.executeUpdate(messages.stopAfterRound, { args: [{ round }] }), `stops after round ${round}`),
};
export const setBudget = {
  run: (name: string, step: string | undefined, budget: Budget): Promise<void> =>
    send(name, (handle) => handle.executeUpdate(messages.setBudget, { args: [{ ...targetOf(step), ...budget }] }), 'goes on with that'),
};

export async function send(name: string, update: (handle: WorkflowHandle) => Promise<void>, said: string): Promise<void> {
  await sendUpdate(await experimentOf(await openHome(), name), update);
  console.log(`${name} ${said}.`);
}
