/** Activity interceptor: what the SDK logs about an activity names its experiment and its step. */
import type { ActivityInterceptorsFactory } from '@temporalio/worker';
import type { StepCall } from '../schemas/call.ts';
import type { BatchInput, StepContext } from '../schemas/steps.ts';

export const logAttributes: ActivityInterceptorsFactory = () => {
  let about: Readonly<Record<string, string>> = {};
  return {
    inbound: {
      execute(input, next) {
        about = aboutOf(input.args);
        return next(input);
      },
    },
    outbound: { getLogAttributes: (attributes, next) => next({ ...attributes, ...about }) },
  };
};

/** Activities of a step take its call and context, or both in one object. */
function aboutOf([first, second]: readonly unknown[]): Record<string, string> {
  const { call = first, context = second } = Object(first) as Partial<BatchInput>;
  const { path } = Object(call) as Partial<StepCall>;
  const { experiment } = Object(context) as Partial<StepContext>;
  return { ...(typeof experiment === 'string' && { experiment }), ...(typeof path === 'string' && { step: path }) };
}
