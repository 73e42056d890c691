/** Removes the decoration that models put round the lines of a reply. */

/** Inline tags are removed; any other tag ends its line. */
const inlineTags = /<\/?(?:b|i|em|strong|code|span|u|mark|font|a|sup|sub|small|big|tt)\b[^<>\n]{0,200}>/gi;
const blockTags = /<\/?(?!(?:score|rating|yes|no)\b)[a-z][\w-]*\b[^<>\n:]{0,200}>/gi;

/** Returns the lines of a reply that contain letters or digits. Full-width characters become ASCII; markup, quotes, LaTeX and emoji are
 *  removed. */
export function plainLines(reply: string): string[] {
  return reply
    .replace(/[¼-¾⅐-⅞²³¹⁰-⁹₀-₉]/g, '¤') // NFKC would turn these into other numbers
    .normalize('NFKC')
    .replace(inlineTags, '')
    .replace(blockTags, '\n')
    .replace(/<\|\w+\|>/g, '\n')
    .replace(/(?<!\p{L})'|'(?!\p{L})/gu, '')
    .replace(
      /\\[a-z]+|[*`"“”„‟‘’‚«»‹›「」『』【】〈〉《》〔〕$\\#{}]|\u20e3|\p{Cf}|\p{Extended_Pictographic}|\p{Variation_Selector}/giu,
      '',
    )
    .replace(/[\r\u2028\u2029]/g, '\n')
    .replace(/(?:[^\S\n]|_)+/g, ' ')
    .split('\n')
    .map((line) => line.replace(/^(?:[\s>|]|[-+•–—](?=\s))*(?:\d{1,2}[.)]\s+(?=\p{L}))?/u, '').replace(/[\s|]+$/, ''))
    .filter((line) => /[\p{L}\p{N}¤]/u.test(line));
}
