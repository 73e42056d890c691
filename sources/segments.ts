/** Splits documents into self-contained sections, as in Humpback's corpus (2308.06259, section 2.1 and appendix E). */
import { codePoints } from '../operators/lengths.ts';
import { joined, type Block, type Text } from './blocks.ts';
import { blocksOfHtml } from './html.ts';
import { blocksOfMarkdown } from './markdown.ts';
import { jaccard, shinglesOf, wordsOf } from '../operators/std/shingles.ts';

/** A heading and the text up to the next heading of its level or a higher one. */
export interface Section {
  readonly header: string;
  /** 1 is the highest; the text before the first heading is a section without header at level 0. */
  readonly level: number;
  /** Its own text, and lower headings with their text. */
  readonly text: string;
  readonly own: string;
  /** The paragraphs of its own text. */
  readonly prose: readonly string[];
  readonly inner: readonly Section[];
}

/** Returns the sections of Markdown, or of blocks of another format. Plain text is one section without header. */
export function sectionsOf(text: string | readonly Block[]): Section[] {
  const whole = new OpenSection(0, '');
  const open = [whole];
  for (const block of typeof text === 'string' ? blocksOfMarkdown(text) : text) {
    if (!('header' in block)) open.at(-1)!.texts.push(block);
    else {
      while (open.at(-1)!.level >= block.level) close(open);
      open.push(new OpenSection(block.level, block.header));
    }
  }
  while (open.length > 1) close(open);
  const { own, prose } = whole.section();
  return [...(own === '' ? [] : [{ header: '', level: 0, text: own, own, prose, inner: [] }]), ...whole.inner];
}

/** A section whose end has not been reached. */
class OpenSection {
  readonly level: number;
  readonly texts: Text[] = [];
  readonly inner: Section[] = [];
  readonly #header: string;

  constructor(level: number, header: string) {
    this.level = level;
    this.#header = header;
  }
  section(): Section {
    const { level, inner, texts } = this;
    const own = joined(texts);
    const below = inner.flatMap(({ header, text }) => [header, text]);
    const text = [own, ...below].filter((part) => part !== '').join('\n\n');
    return { header: this.#header, level, text, own, prose: texts.flatMap(({ prose }) => prose), inner };
  }
}
function close(open: OpenSection[]): void {
  const section = open.pop()!.section();
  open.at(-1)!.inner.push(section);
}

/** Converts an HTML page to Markdown headings and text. */
export const markdownOf = (html: string): string =>
  joined(
    blocksOfHtml(html).map((block) =>
      'header' in block
        ? { level: 0, text: `${'#'.repeat(block.level)} ${block.header}`, tight: false, prose: [] }
        : { ...block, text: escapeMarkdown(block) },
    ),
  );
/** Escapes text that would become a heading, a fence or HTML at the beginning of a line. */
const escapeMarkdown = ({ text, prose }: Text): string =>
  prose.length === 0 ? text : text.replace(/^ {0,3}(?=#{1,6}(?:\s|$)|=+\s*$|-+\s*$|`{3}|~{3}|<[a-z!/?])/gim, '\\');

export interface SegmentRules {
  /** Characters (code points) of a segment. */
  readonly minChars: number;
  readonly maxChars: number;
  /** Phrases that make a header navigational. */
  readonly navigation: readonly string[];
  /** Two sentences of at least five words whose n-grams reach this Jaccard index make a segment repetitive. */
  readonly repetition: { readonly ngram: number; readonly jaccard: number };
}
export interface Candidate {
  readonly header: string;
  readonly text: string;
  /** Why it is not a segment. */
  readonly fault?: { readonly reason: string; readonly evidence: string };
}

/** Yields the highest sections that are short enough; of a longer section, its own text and its subsections. No text is in two
 *  candidates. */
export function* candidatesOf(sections: readonly Section[], rules: SegmentRules): Generator<Candidate> {
  const navigation = rules.navigation.map(padWords);
  const ofThese = function* (sections: readonly Section[]): Generator<Candidate> {
    for (const section of sections) {
      const { header, text, own, inner } = section;
      const whole = inner.length === 0 || codePoints(text) <= rules.maxChars;
      const fault = () => findFault(header, whole ? text : own, whole ? proseOf(section) : section.prose, { ...rules, navigation });
      if (whole || own !== '') yield judged(header, whole ? text : own, fault());
      if (!whole) yield* ofThese(inner);
    }
  };
  yield* ofThese(sections);
}
const proseOf = ({ prose, inner }: Section): string[] => [...prose, ...inner.flatMap(proseOf)];
const judged = (header: string, text: string, fault: Candidate['fault']): Candidate => (fault ? { header, text, fault } : { header, text });
const padWords = (text: string): string => ` ${wordsOf(text).join(' ')} `;

function findFault(
  header: string,
  text: string,
  prose: readonly string[],
  { minChars, maxChars, navigation, repetition }: SegmentRules,
): Candidate['fault'] {
  const length = codePoints(text);
  if (header === '') return { reason: 'no-header', evidence: text.slice(0, 80) };
  if (header === header.toUpperCase() && header !== header.toLowerCase()) return { reason: 'capitals', evidence: header };
  const words = padWords(header);
  if (navigation.some((phrase) => words.includes(phrase))) return { reason: 'navigation', evidence: header };
  if (length < minChars) return { reason: 'too-short', evidence: `${header}: ${length} characters` };
  if (length > maxChars) return { reason: 'too-long', evidence: `${header}: ${length} characters` };
  const pair = findRepeated(prose, repetition);
  return pair && { reason: 'repetitive', evidence: pair.join(' | ').slice(0, 400) };
}

const sentences = new Intl.Segmenter('en', { granularity: 'sentence' });

function findRepeated(prose: readonly string[], { ngram, jaccard: limit }: SegmentRules['repetition']): [string, string] | undefined {
  interface Seen {
    readonly sentence: string;
    readonly shingles: Uint32Array;
  }
  /** Sentences by the shingles of their prefix: two similar sentences share one of these. */
  const seen = new Map<number, Seen[]>();
  for (const { segment } of prose.flatMap((paragraph) => [...sentences.segment(paragraph)])) {
    const sentence = segment.trim();
    if (wordsOf(sentence).length < 5) continue;
    const shingles = shinglesOf(sentence, ngram);
    const first = shingles.subarray(0, shingles.length - Math.ceil(limit * shingles.length - 1e-9) + 1);
    for (const shingle of first) {
      const other = seen.get(shingle)?.find((one) => jaccard(one.shingles, shingles) >= limit);
      if (other) return [other.sentence, sentence];
    }
    for (const shingle of first) {
      const alike = seen.get(shingle);
      if (alike) alike.push({ sentence, shingles });
      else seen.set(shingle, [{ sentence, shingles }]);
    }
  }
  return undefined;
}
