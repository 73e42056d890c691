/** IFEval's constraints on the form of a text (2311.07911, table 1): format, combination, case, begin and end, punctuation. */
import { z } from 'zod';
import { amount, compare, relation } from './ifeval-content.ts';
import { kind } from './kind.ts';
import { isInLanguage } from './languages.ts';
import { escaped } from './text.ts';

const count = z.int().min(0);
const text = z.string().regex(/\S/, 'it is blank');
const none = z.strictObject({});
const matches = (value: string, pattern: RegExp): readonly string[] => value.match(pattern) ?? [];
const isBlank = (value: string): boolean => value.trim() === '';

const answers = ['My answer is yes.', 'My answer is no.', 'My answer is maybe.'] as const;

export const format = {
  /** Lines that begin with a hyphen, or with one asterisk. */
  'detectable_format:number_bullet_lists': kind(
    z.strictObject({ num_bullets: count }),
    ({ num_bullets: number }) => [
      `Your answer contains exactly ${amount(number, 'bullet point')} in Markdown, as in "* a point".`,
      `List exactly ${amount(number, 'point')}, each on a line that begins with an asterisk.`,
    ],
    (value, { num_bullets: number }) => matches(value, /^\s*\*[^*].*$/gm).length + matches(value, /^\s*-.*$/gm).length === number,
  ),
  'detectable_format:constrained_response': kind(
    none,
    () => [
      `Your answer is one of these sentences: ${answers.join(' ')}`,
      `Choose one of the following as your answer: ${answers.join(' ')}`,
    ],
    (value) => answers.some((answer) => value.includes(answer)),
  ),
  'detectable_format:number_highlighted_sections': kind(
    z.strictObject({ num_highlights: count }),
    ({ num_highlights: number }) => [
      `Highlight at least ${amount(number, 'passage')} by asterisks, *like this*.`,
      `Put at least ${amount(number, 'passage')} of your answer in italics or bold type, by Markdown's asterisks.`,
    ],
    (value, { num_highlights: number }) => {
      const highlights = [...matches(value, /\*[^\n*]*\*/g), ...matches(value, /\*\*[^\n*]*\*\*/g)];
      return highlights.filter((one) => !isBlank(one.replaceAll('*', ''))).length >= number;
    },
  ),
  'detectable_format:multiple_sections': kind(
    z.strictObject({ section_spliter: text, num_sections: count }),
    ({ section_spliter: name, num_sections: number }) => [
      `Divide your answer into ${amount(number, 'section')}, each under a heading with its number: ${name} 1, and so on.`,
      `Your answer has ${amount(number, 'section')}. The first begins with "${name} 1", and the others are numbered in the same way.`,
    ],
    (value, { section_spliter: name, num_sections: number }) =>
      matches(value, new RegExp(String.raw`\s?${escaped(name.trim())}\s?\d+\s?`, 'gu')).length >= number,
  ),
  /** JSON, within a Markdown fence or without. */
  'detectable_format:json_format': kind(
    none,
    () => ['Answer with one JSON value and nothing else.', 'Your whole answer is JSON. A Markdown fence around it is allowed.'],
    (value) =>
      isJson(
        value
          .trim()
          .replace(/^```(?:json|Json|JSON)?/, '')
          .replace(/```$/, ''),
      ),
  ),
  'detectable_format:title': kind(
    none,
    () => [
      'Give your answer a title in double angle brackets, as in <<A title>>.',
      'Your answer has a title, which stands between << and >>.',
    ],
    (value) => matches(value, /<<[^\n]+>>/g).some((title) => !isBlank(title.replace(/^<+/, '').replace(/>+$/, ''))),
  ),
};

function isJson(value: string): boolean {
  try {
    JSON.parse(value);
    return true;
  } catch {
    return false;
  }
}

export const combination = {
  'combination:two_responses': kind(
    none,
    () => [
      'Give two different answers, and write ****** between them.',
      'Answer twice, each time differently; six asterisks (******) separate the answers.',
    ],
    (value) => {
      const parts = value.split('******').map((part) => part.trim());
      const [first, second, ...more] = parts.filter((part) => part !== '');
      return parts.slice(1, -1).every((part) => part !== '') && second !== undefined && more.length === 0 && first !== second;
    },
  ),
  'combination:repeat_prompt': kind(
    z.strictObject({ prompt_to_repeat: text }),
    () => [
      'Begin with the request above, word for word, and then answer it.',
      'Before you answer, write the request above again without any change.',
    ],
    (value, { prompt_to_repeat: prompt }) => value.trim().toLowerCase().startsWith(prompt.trim().toLowerCase()),
  ),
};

/** Has letters that come in two cases, and none of the other case. */
const isUpper = (value: string): boolean => /[\p{Lu}\p{Lt}]/u.test(value) && !/\p{Ll}/u.test(value);
const isLower = (value: string): boolean => /\p{Ll}/u.test(value) && !/[\p{Lu}\p{Lt}]/u.test(value);
/** Words with their hyphens and full stops, as in U.S. */
const withHyphens = (value: string): readonly string[] => matches(value, /[\p{L}\p{M}\p{N}_]+(?:[-‐‑.'’][\p{L}\p{M}\p{N}_]+)*/gu);

export const cases = {
  'change_case:capital_word_frequency': kind(
    z.strictObject({ capital_frequency: count, capital_relation: relation }),
    ({ capital_frequency: number, capital_relation: how }) => [
      `Write ${how} ${amount(number, 'word')} in capital letters.`,
      `Your answer has ${how} ${amount(number, 'word')} of capital letters alone.`,
    ],
    (value, { capital_frequency: number, capital_relation: how }) => compare(withHyphens(value).filter(isUpper).length, how, number),
  ),
  'change_case:english_capital': kind(
    none,
    () => ['Answer in English, and in capital letters only.', 'Your whole answer is in English, without any lower-case letter.'],
    async (value) => isUpper(value) && (await isInLanguage(value, 'en')),
  ),
  'change_case:english_lowercase': kind(
    none,
    () => ['Answer in English, and in lower-case letters only.', 'Your whole answer is in English, without any capital letter.'],
    async (value) => isLower(value) && (await isInLanguage(value, 'en')),
  ),
};

export const startAndEnd = {
  'startend:end_checker': kind(
    z.strictObject({ end_phrase: text }),
    ({ end_phrase: phrase }) => [`End with these very words: ${phrase}`, `The last words of your answer are: ${phrase}`],
    (value, { end_phrase: phrase }) =>
      value
        .trim()
        .replaceAll(/^"+|"+$/g, '')
        .toLowerCase()
        .endsWith(phrase.trim().toLowerCase()),
  ),
  'startend:quotation': kind(
    none,
    () => ['Put your whole answer in double quotation marks.', 'Your answer begins and ends with a double quotation mark.'],
    (value) => /^"[^]*"$/.test(value.trim()),
  ),
};

export const punctuation = {
  'punctuation:no_comma': kind(
    none,
    () => ['Use no commas.', 'Write without a single comma.'],
    (value) => !/[,，،、]/.test(value),
  ),
};
