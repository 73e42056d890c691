/** Defines a chain of three operators that each send a request to a model: the first makes several records of one, and each drops some. */
import { z } from 'zod';
import { drop, keep, operator } from '../../recipe/index.ts';

export const namespace = 'chained';

const text = z.object({ text: z.string() });
const words = (count: number) => operatorOf(z.object({}), (said) => Array.from({ length: said % count }, (_, n) => `part ${n}`));

function operatorOf<P extends object>(params: z.ZodType<P>, parts: (said: number, params: P) => readonly string[]) {
  return operator({
    version: 1,
    input: text,
    output: text,
    params: params as z.ZodType<never>,
    roles: ['speaker'],
    capabilities: ['chat'],
    maxRows: () => 3,
    async run({ text }, { chat }, params) {
      const reply = await chat('speaker', [{ role: 'user', content: text }], { temperature: 1, maxTokens: 8 });
      const [first, ...others] = parts(Number(reply.text), params as P).map((part) => ({ text: `${text}, ${part} of ${reply.text}` }));
      return first ? keep(first, ...others) : drop(`no-part-of-${Number(reply.text) % 2}`, reply.text);
    },
  });
}

/** 0 to 3 records of one. */
export const spread = words(4);
/** 0 to 2. */
export const sift = words(3);
/** 0 or 1. */
export const end = operatorOf(z.object({ by: z.int() }), (said, { by }) => (said % by === 0 ? [] : ['all']));
