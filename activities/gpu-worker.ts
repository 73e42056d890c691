/** What the activities of a gpu worker share: its device groups and connections, and the state that their heartbeats show. */
import type { DataConverter } from '@temporalio/common';
import type { NativeConnection } from '@temporalio/worker';
import type { Slot } from '../devices/slot.ts';
import type { Slots } from '../devices/slots.ts';
import type { LeaseState } from '../schemas/devices.ts';
import type { Services } from '../steps/services.ts';

export interface GpuWorker {
  readonly services: Services;
  readonly slots: Slots;
  /** Milliseconds that a lease keeps its device group even if other experiments wait. */
  readonly timeSlice: number;
  /** One connection per device group: all leases of a step use the same task queue, and the SDK allows one worker per queue and connection.
   */
  readonly connections: readonly NativeConnection[];
  readonly namespace: string;
  /** Default: payloads are in plain text. */
  readonly dataConverter?: DataConverter;
  readonly lifeline: string;
}

/** `others`: processes on the devices that backspin did not start. */
export const leaseState = (
  state: LeaseState['state'],
  slot?: Slot,
  others?: readonly string[],
  since: number = Date.now(),
): LeaseState => ({
  state,
  since,
  ...(slot ? { slot: slot.name, others } : {}),
});
