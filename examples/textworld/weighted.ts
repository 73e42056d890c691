// Defines the text world's two directions with weighted training rows: `textworld-weighted.toInstruction` and so on.
import { prompt, template, type Chat, type Message } from '../../recipe/index.ts';
import type { Pair } from './interviews.ts';
import { systemTurns } from './pretraining.ts';

export const namespace = 'textworld-weighted';

const turns = (system: string, user: string): Message[] => [
  { role: 'system', content: system },
  { role: 'user', content: user },
];
type Row = Pair & Pick<Chat, 'weight' | 'group'>;
const row = (asked: Message[], content: string, { weight, group }: Row): Chat => ({
  messages: [...asked, { role: 'assistant', content }],
  ...(weight !== undefined && { weight }),
  ...(group !== undefined && { group }),
});

/** Prompts the reverse model for the instruction that a text answers. */
export const ask = prompt<{ readonly text: string }>({
  version: 1,
  template: 'textworld-weighted.toInstruction',
  render: ({ text }) => ({ messages: turns(systemTurns.ask, text) }),
});

/** Prompts the forward model with an instruction. */
export const answer = prompt<Pick<Pair, 'instruction'>>({
  version: 1,
  template: 'textworld-weighted.toResponse',
  render: ({ instruction }) => ({ messages: turns(systemTurns.answer, instruction) }),
});

export const toInstruction = template<Row, Chat>({
  version: 1,
  render: (pair) => row(turns(systemTurns.ask, pair.response), pair.instruction, pair),
});

export const toResponse = template<Row, Chat>({
  version: 1,
  render: (pair) => row(turns(systemTurns.answer, pair.instruction), pair.response, pair),
});
