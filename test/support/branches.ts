/** Defines an operator with two concurrent branches of two calls each; the second call uses the reply of the first. */
import { z } from 'zod';
import { keep, operator } from '../../recipe/index.ts';

export const namespace = 'branches';

const said = z.object({ said: z.string() });
export const both = operator({
  version: 1,
  input: said,
  output: z.object({ a: z.string(), b: z.string() }),
  roles: ['speaker'],
  capabilities: ['chat'],
  calls: () => 4,
  async run({ said }, { chat }) {
    const ask = async (content: string) => (await chat('speaker', [{ role: 'user', content }], { temperature: 1, maxTokens: 8 })).text;
    const branch = async (name: string) => ask(`${name}2 after ${await ask(`${name}1 ${said}`)}`);
    const [a, b] = await Promise.all([branch('a'), branch('b')]);
    return keep({ a, b });
  },
});
