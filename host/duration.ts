/** Times in `pools.yaml`. */
import { z } from 'zod';

const units = { s: 1_000, m: 60_000, h: 3_600_000 } as const;

/** A time such as `60s`, `10m` or `2h`, in milliseconds. */
export const duration = z
  .string()
  .regex(/^\d+[smh]$/, 'a time such as 60s, 10m or 2h is needed')
  .transform((text) => Number(text.slice(0, -1)) * units[text.at(-1) as keyof typeof units]);
