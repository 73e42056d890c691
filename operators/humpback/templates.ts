/** Renders pairs as training rows; the loss is on the assistant's turn alone. */
import { template, type Chat } from '../../recipe/index.ts';
import { withReply } from '../turns.ts';
import { askForInstruction, tagged, tags } from './prompts.ts';
import { labelled, pair, type Labelled, type Pair } from './records.ts';

/** Trains M_yx: the response is the prompt, the instruction the completion. */
export const toInstruction = template<Pair, Chat>({
  version: 1,
  input: pair,
  render: ({ instruction, response }) => withReply(askForInstruction({ text: response }), instruction),
});

/** Trains M_t: S_a marks seed rows and S_w augmented ones; replayed rows have no tag. */
export const toResponse = template<Labelled, Chat>({
  version: 1,
  input: labelled,
  render: ({ instruction, response, part }) => withReply(tagged(instruction, ...(part === 'replay' ? [] : [tags[part]])), response),
});
