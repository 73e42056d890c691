/** How pairs become training rows; the loss is on the assistant's turn alone. */
import { template, type Chat, type Message } from '../../recipe/index.ts';
import { askForInstruction, tagged, tags } from './prompts.ts';
import { labelled, pair, type Labelled, type Pair } from './records.ts';

const answered = (asked: readonly Message[], content: string): Chat => ({ messages: [...asked, { role: 'assistant', content }] });

/** M_yx: the response asks, the instruction answers. */
export const toInstruction = template<Pair, Chat>({
  version: 1,
  input: pair,
  render: ({ instruction, response }) => answered(askForInstruction({ text: response }), instruction),
});

/** M_t: S_a marks the seed, S_w what was backtranslated; replayed rows are as they are. */
export const toResponse = template<Labelled, Chat>({
  version: 1,
  input: labelled,
  render: ({ instruction, response, part }) => answered(tagged(instruction, ...(part === 'replay' ? [] : [tags[part]])), response),
});
