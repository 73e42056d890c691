/** Messages about an experiment to an address of the user's. */
import { z } from 'zod';

export const notifyEvent = z.enum(['attention', 'completed', 'failed', 'cancelled']);
export type NotifyEvent = z.infer<typeof notifyEvent>;

const httpUrl = z.url({ protocol: /^https?$/ });
export const notify = z.strictObject({
  url: z
    .union([
      httpUrl,
      z.strictObject({ env: z.string().regex(/^[A-Za-z_][A-Za-z0-9_]*$/, 'the name of an environment variable') }),
      z.strictObject({ file: z.string() }),
    ])
    .describe(
      'Where a message is posted. An address that is a secret, such as a webhook of Slack, is read by the workers from { env: NAME } or { file: PATH }.',
    ),
  on: z.array(notifyEvent).min(1).default(['attention', 'completed', 'failed']).describe('Events that a message is posted for, once each.'),
});
export type Notify = z.infer<typeof notify>;

/** The JSON that is posted. */
export interface Notification {
  /** The same in every try. */
  readonly id: string;
  readonly event: NotifyEvent;
  readonly experiment: string;
  readonly recipe: string;
  readonly round: number | null;
  /** What waits; null at the end of an experiment. */
  readonly path: string | null;
  /** Why it waits or failed. */
  readonly reason: string | null;
  /** What to do. */
  readonly remedy: string | null;
  /** All of that in a sentence, for Slack. */
  readonly text: string;
  /** The same for Discord. */
  readonly content: string;
}
