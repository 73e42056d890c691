/** Activity interceptor: a span for each activity of a step. */
import type { ActivityInterceptorsFactory } from '@temporalio/worker';
import type { StepCall } from '../schemas/call.ts';
import type { BatchInput, StepContext, StepLookup } from '../schemas/steps.ts';
import type { Traces } from '../schemas/traces.ts';

/** Activities whose success ends their step. */
const LAST: readonly string[] = ['commit', 'compute', 'train', 'embed', 'score', 'tag'];

/** `traces`: undefined where nobody wants spans. */
export function traced(traces: Traces | undefined): ActivityInterceptorsFactory[] {
  if (!traces) return [];
  return [
    ({ info: { activityType: type, attempt } }) => ({
      inbound: {
        execute(input, next) {
          const of = stepOf(input.args);
          if (!of) return next(input);
          const ends = (result: unknown) => LAST.includes(type) || (type === 'open' && (result as StepLookup).hit !== null);
          return traces.activity({ ...of, type, attempt, ends }, () => next(input));
        },
      },
    }),
  ];
}

/** Activities of a step take its call and context, or both in one object. */
function stepOf([first, second]: readonly unknown[]) {
  const { call = first, context = second, batch } = Object(first) as Partial<BatchInput>;
  const { path: step, operation } = Object(call) as Partial<StepCall>;
  const { experiment, began } = Object(context) as Partial<StepContext>;
  if (step === undefined || operation === undefined || experiment === undefined || began === undefined) return undefined;
  return { experiment, step, operation, began, batch };
}
