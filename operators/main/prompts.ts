/** The two wordings of MAIN, ours: the paper's are not known. */
import { prompt, template, type Chat, type Message } from '../../recipe/index.ts';
import type { Pair, Segment } from '../humpback/records.ts';
import { row, type Row } from './records.ts';

const user = (content: string): readonly Message[] => [{ role: 'user', content }];
const askForInstruction = ({ text }: Segment) =>
  user(`Write the instruction that the text below responds to, and nothing else.\n\n${text}`);
const answered = (asked: readonly Message[], content: string): Chat => ({ messages: [...asked, { role: 'assistant', content }] });

/** Asks the reverse model what a text responds to. */
export const invert = prompt<Segment>({
  version: 1,
  template: 'main.toInstruction',
  render: (segment) => ({ messages: askForInstruction(segment) }),
});

/** Gives the forward model an instruction. */
export const respond = prompt<Pick<Pair, 'instruction'>>({
  version: 1,
  template: 'main.toResponse',
  render: ({ instruction }) => ({ messages: user(instruction) }),
});

/** M_r: the response asks, the instruction answers. */
export const toInstruction = template<Row, Chat>({
  version: 1,
  input: row,
  render: ({ instruction, response, ...rest }) => ({ ...answered(askForInstruction({ text: response }), instruction), ...rest }),
});

/** M_f, and the model that is handed over. */
export const toResponse = template<Row, Chat>({
  version: 1,
  input: row,
  render: ({ instruction, response, ...rest }) => ({ ...answered(user(instruction), response), ...rest }),
});
