/** Self-contained sections of documents, as Humpback's corpus has them (2308.06259, section 2.1 and appendix E). */
import { jaccard, shinglesOf, wordsOf } from './shingles.ts';

/** A heading and all below it up to the next of its level or a higher one. */
export interface Section {
  readonly header: string;
  /** 1 is the highest; what stands before the first heading is a section without header at level 0. */
  readonly level: number;
  /** Own text and that of lower headings, those headings included. */
  readonly text: string;
  readonly own: string;
  readonly inner: readonly Section[];
}

interface Heading {
  readonly level: number;
  readonly header: string;
  readonly lines: string[];
}

/** Sections of Markdown (`#` and underlined headings; fenced code is text). Plain text is one section without header. */
export function sectionsOf(text: string): Section[] {
  const headings: Heading[] = [{ level: 0, header: '', lines: [] }];
  let fence: string | undefined;
  for (const line of text.split(/\r\n|\n/)) {
    const mark = /^ {0,3}(```|~~~)/.exec(line)?.[1];
    if (mark && (fence === undefined || fence === mark)) fence = fence === undefined ? mark : undefined;
    const lines = headings.at(-1)!.lines;
    const hashes = fence === undefined ? /^ {0,3}(#{1,6})[ \t]+(.*?)[ \t]*#*$/.exec(line) : null;
    const underline = fence === undefined ? /^ {0,3}(=+|-+)[ \t]*$/.exec(line)?.[1] : undefined;
    const before = lines.at(-1)?.trim();
    if (hashes) headings.push({ level: hashes[1]!.length, header: hashes[2]!.trim(), lines: [] });
    else if (underline && before && !/^[#>|-]/.test(before) && (lines.at(-2) ?? '').trim() === '') {
      lines.pop();
      headings.push({ level: underline.startsWith('=') ? 1 : 2, header: before, lines: [] });
    } else lines.push(line);
  }
  const [, ...below] = headings;
  const lead = headings[0]!.lines.join('\n').trim();
  return [...(lead === '' ? [] : [{ header: '', level: 0, text: lead, own: lead, inner: [] }]), ...nested(below)];
}

function nested(headings: readonly Heading[]): Section[] {
  const sections: Section[] = [];
  for (let at = 0; at < headings.length;) {
    const { level, header, lines } = headings[at]!;
    const found = headings.findIndex((other, i) => i > at && other.level <= level);
    const end = found === -1 ? headings.length : found;
    const inner = nested(headings.slice(at + 1, end));
    const own = lines.join('\n').trim();
    const text = [own, ...inner.map((section) => `${section.header}\n\n${section.text}`)].join('\n\n').trim();
    sections.push({ header, level, text, own, inner });
    at = end;
  }
  return sections;
}

/** Headings and text of an HTML page as Markdown; scripts, styles, navigation and forms are left out. */
export function markdownOf(html: string): string {
  return html
    .replace(/<!--[\s\S]*?-->/g, '')
    .replace(/<(script|style|nav|aside|footer|form|noscript|svg|head)\b[\s\S]*?<\/\1\s*>/gi, '')
    .replace(/\s+/g, ' ')
    .replace(
      /<h([1-6])\b[^>]*>(.*?)<\/h\1\s*>/gi,
      (_, level: string, header: string) => `\n\n${'#'.repeat(Number(level))} ${header.replace(/<[^>]+>/g, '').trim()}\n\n`,
    )
    .replace(/<li\b[^>]*>/gi, '\n- ')
    .replace(/<br\s*\/?>/gi, '\n')
    .replace(/<\/?(p|div|section|article|main|ul|ol|table|tr|blockquote|pre|header|body|html)\b[^>]*>/gi, '\n\n')
    .replace(/<\/?[a-z][^>]*>/gi, '')
    .replace(/&(#\d+|#x[0-9a-f]+|\w+);/gi, (whole, name: string) => entity(name.toLowerCase()) ?? whole)
    .replace(/[ \t]*\n[ \t]*/g, '\n')
    .replace(/\n{3,}/g, '\n\n')
    .trim();
}
const entities: Readonly<Record<string, string>> = {
  amp: '&',
  lt: '<',
  gt: '>',
  quot: '"',
  apos: "'",
  nbsp: ' ',
  ndash: '–',
  mdash: '—',
  hellip: '…',
  lsquo: '‘',
  rsquo: '’',
  ldquo: '“',
  rdquo: '”',
};
function entity(name: string): string | undefined {
  if (!name.startsWith('#')) return entities[name];
  const code = name.startsWith('#x') ? Number.parseInt(name.slice(2), 16) : Number(name.slice(1));
  return code > 0 && code <= 0x10ffff ? String.fromCodePoint(code) : undefined;
}

export interface SegmentRules {
  /** Characters (code points) of a segment. */
  readonly minChars: number;
  readonly maxChars: number;
  /** Phrases that make a header navigational. */
  readonly navigation: readonly string[];
  /** Two sentences of five words or more whose word n-grams are so alike make a segment repetitive. */
  readonly repetition: { readonly ngram: number; readonly jaccard: number };
}
export interface Candidate {
  readonly header: string;
  readonly text: string;
  /** Why it is no segment. */
  readonly fault?: { readonly reason: string; readonly evidence: string };
}

/** The highest sections that are short enough; of a longer one its own text and its inner sections. No text is in two candidates. */
export function* candidatesOf(sections: readonly Section[], rules: SegmentRules): Generator<Candidate> {
  for (const section of sections) {
    const { header, text, own, inner } = section;
    const whole = inner.length === 0 || lengthOf(text) <= rules.maxChars;
    if (whole || own !== '') yield judged(header, whole ? text : own, rules);
    if (!whole) yield* candidatesOf(inner, rules);
  }
}

function judged(header: string, text: string, rules: SegmentRules): Candidate {
  const fault = faultOf(header, text, rules);
  return fault ? { header, text, fault } : { header, text };
}

function faultOf(header: string, text: string, { minChars, maxChars, navigation, repetition }: SegmentRules): Candidate['fault'] {
  const length = lengthOf(text);
  if (header === '') return { reason: 'no-header', evidence: text.slice(0, 80) };
  if (header === header.toUpperCase() && header !== header.toLowerCase()) return { reason: 'capitals', evidence: header };
  const words = ` ${wordsOf(header).join(' ')} `;
  const phrase = navigation.find((one) => words.includes(` ${wordsOf(one).join(' ')} `));
  if (phrase !== undefined) return { reason: 'navigation', evidence: header };
  if (length < minChars) return { reason: 'too-short', evidence: `${header}: ${length} characters` };
  if (length > maxChars) return { reason: 'too-long', evidence: `${header}: ${length} characters` };
  const pair = repeated(text, repetition);
  return pair && { reason: 'repetitive', evidence: pair.join(' | ').slice(0, 400) };
}

const lengthOf = (text: string): number => Array.from(text).length;
const sentences = new Intl.Segmenter('en', { granularity: 'sentence' });

function repeated(text: string, { ngram, jaccard: limit }: SegmentRules['repetition']): [string, string] | undefined {
  const seen: { readonly sentence: string; readonly shingles: Uint32Array }[] = [];
  for (const { segment } of sentences.segment(text)) {
    const sentence = segment.trim();
    if (wordsOf(sentence).length < 5) continue;
    const shingles = shinglesOf(sentence, ngram);
    const other = seen.find((one) => jaccard(one.shingles, shingles) >= limit);
    if (other) return [other.sentence, sentence];
    seen.push({ sentence, shingles });
  }
  return undefined;
}
