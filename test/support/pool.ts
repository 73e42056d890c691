/** Makes the activities of a gpu worker without devices, with models of the test. */
import { runBatches } from '../../activities/lease-batches.ts';
import type { Lease, StepContext } from '../../schemas/steps.ts';
import type { Models } from '../../steps/models.ts';
import { activity } from '../../activities/wrap.ts';
import type { StepCall } from '../../schemas/call.ts';
import { queues } from '../../schemas/names.ts';

export const poolActivities = (site: Parameters<typeof runBatches>[0], models: (lease: Lease) => Models) => ({
  serve: (_call: StepCall, _context: StepContext, stepKey: string, lease: Lease): Promise<boolean> =>
    activity(async ({ signal }) => {
      const ended = new Promise<void>((done) => signal.addEventListener('abort', () => done(), { once: true }));
      await runBatches(site, queues.lease(site.services.store.id, stepKey), models(lease), ended);
      return false;
    }),
});
