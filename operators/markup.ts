/** Replies to a form, read without what models decorate it with. */

/** Inline markup stands within a line; any other tag ends one. */
const inline = /<\/?(?:b|i|em|strong|code|span|u|mark|font|a|sup|sub|small|big|tt)\b[^<>\n]{0,200}>/gi;
const block = /<\/?(?!(?:score|rating|yes|no)\b)[a-z][\w-]*\b[^<>\n:]{0,200}>/gi;

/** The lines of a reply with something in them: ASCII forms of full-width characters, without markup, quotes, LaTeX and emoji. */
export function plainLines(reply: string): string[] {
  return reply
    .replace(/[¼-¾⅐-⅞²³¹⁰-⁹₀-₉]/g, '¤') // are other numbers in ASCII
    .normalize('NFKC')
    .replace(inline, '')
    .replace(block, '\n')
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
