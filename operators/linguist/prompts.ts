/** Defines the requests of LINGUIST in five blocks (2209.09900). We know the blocks from summaries of the paper; the wording is ours. */
import { prompt, template, type Chat, type Message } from '../../recipe/index.ts';
import { user, withReply } from '../turns.ts';
import { bracketed } from './grammar.ts';
import { drill, type Asked, type Drill } from './records.ts';

const block = (name: string, ...lines: readonly string[]): string =>
  lines.length > 1 ? `<${name}>\n${lines.join('\n')}\n</${name}>` : `<${name}> ${lines.join('')} </${name}>`;
const nameOf = (language: string): string => new Intl.DisplayNames(['en'], { type: 'language' }).of(language)!;

/** Language, intent, slots to include, labels of the numbers, examples; in this order. */
const fiveBlocks = ({ language, intent, include, labels, examples }: Asked): readonly Message[] =>
  user(
    [
      block('language', nameOf(language)),
      block('intent', intent),
      block('include', include.map(([number, value]) => bracketed(number, value)).join(' ')),
      block(
        'labels',
        Object.entries(labels)
          .map(([number, name]) => `${number}=${name}`)
          .join(', '),
      ),
      block('examples', ...examples),
    ].join('\n'),
  );

/** A3: asks for an annotated utterance. */
export const request = prompt<Asked>({
  version: 1,
  template: 'linguist.toUtterance',
  example: {
    language: 'en',
    intent: 'play_music',
    include: [
      [1, 'jazz'],
      [2, '*'],
    ],
    labels: { 1: 'genre', 2: 'artist' },
    examples: ['play some [1 rock ]'],
  },
  render: (asked) => ({ messages: fiveBlocks(asked) }),
});

/** The generator learns the utterance; the loss is on it alone. */
export const toUtterance = template<Drill, Chat>({
  version: 1,
  input: drill,
  render: (one) => withReply(fiveBlocks(one), one.target),
});

export interface Rewriting {
  readonly language: string;
  readonly text: string;
  readonly values: readonly string[];
}
/** Asks for a paraphrase that keeps the values. */
export const rewriting = prompt<Rewriting>({
  version: 1,
  example: { language: 'en', text: 'play some jazz', values: ['jazz'] },
  render: ({ language, text, values }) => ({
    messages: user(
      `Say this in other words, in ${nameOf(language)}, as somebody might say it to a voice assistant: ${text}\n\n${
        values.length === 0
          ? ''
          : `Use these words exactly as they are, each of them once: ${values.map((value) => `"${value}"`).join(', ')}. `
      }Write only the new sentence.`,
    ),
  }),
});
