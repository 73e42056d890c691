/** Defines the two prompts of MAIN in our own words: the paper does not publish its own. */
import { prompt, template, type Chat } from '../../recipe/index.ts';
import { example } from '../example.ts';
import type { Pair, Segment } from '../humpback/records.ts';
import { user, withReply } from '../turns.ts';
import { row, type Row } from './records.ts';

const askForInstruction = ({ text }: Segment) =>
  user(`Write the instruction that the text below responds to, and nothing else.\n\n${text}`);

/** Prompts the reverse model for the instruction that a text answers. */
export const invert = prompt<Segment>({
  version: 1,
  template: 'main.toInstruction',
  example: { text: example.text },
  render: (segment) => ({ messages: askForInstruction(segment) }),
});

/** Prompts the forward model with an instruction. */
export const respond = prompt<Pick<Pair, 'instruction'>>({
  version: 1,
  template: 'main.toResponse',
  example: { instruction: example.instruction },
  render: ({ instruction }) => ({ messages: user(instruction) }),
});

/** Trains M_r: the response is the prompt, the instruction the completion. */
export const toInstruction = template<Row, Chat>({
  version: 1,
  input: row,
  render: ({ instruction, response, ...rest }) => ({ ...withReply(askForInstruction({ text: response }), instruction), ...rest }),
});

/** Trains M_f, which is also the experiment's result. */
export const toResponse = template<Row, Chat>({
  version: 1,
  input: row,
  render: ({ instruction, response, ...rest }) => ({ ...withReply(user(instruction), response), ...rest }),
});
