/** Parses reStructuredText into headings and text: sections, comments and targets are understood, all else stays as it is written. */
import { isProse, type Block, type Heading } from './blocks.ts';

/** A line of one punctuation character, which marks a heading or a transition. */
const adornment = /^([!-/:-@[-`{-~])\1+\s*$/;
/** A comment, or a target without text: `..` with neither a directive, a footnote nor a substitution behind it. */
const hidden = /^\.\.(?:$|\s+(?:_[^:]*:|__:|(?!\[[^\]]*\]\s|\|[^|]*\|\s)(?!.*\w::)))/;
/** What begins a paragraph that is no prose: directives, lists of options, grids, tests. */
const otherThanProse = /^(?:\s|\.\.(?:\s|$)|[+=|]|>>>|:[\w-]+:)/;

/** Headings get their level from the order in which their styles come first. Levels below the sixth count as the sixth. */
export function blocksOfRst(source: string): Block[] {
  const lines = source.replace(/^\ufeff/, '').split(/\r\n?|\n/);
  const styles: string[] = [];
  const blocks: Block[] = [];
  let open: string[] = [];
  const flush = () => {
    const text = open.join('\n').trimEnd();
    if (text.trim() !== '') blocks.push({ level: 0, text, tight: false, prose: proseOf(text) });
    open = [];
  };
  for (let at = 0; at < lines.length; at++) {
    const heading = open.length === 0 ? headingAt(lines, at) : undefined;
    const line = lines[at]!;
    if (heading) {
      if (!styles.includes(heading.style)) styles.push(heading.style);
      blocks.push({ level: Math.min(styles.indexOf(heading.style) + 1, 6) as Heading['level'], header: heading.header });
      at += heading.lines - 1;
    } else if (line.trim() === '') flush();
    else if (open.length === 0 && hidden.test(line)) while (/^\s+\S/.test(lines[at + 1] ?? '')) at++;
    else if (open.length > 0 || !adornment.test(line)) open.push(line);
  }
  flush();
  return blocks;
}

/** The heading that begins at a line after an empty one: a title over a line, or between two equal ones, at least as long. */
function headingAt(
  lines: readonly string[],
  at: number,
): { readonly header: string; readonly style: string; readonly lines: number } | undefined {
  const [first = '', second = '', third = ''] = lines.slice(at, at + 3).map((line) => line.trimEnd());
  const over = adornment.exec(first)?.[1];
  const [title, under] = over === undefined ? [first, second] : [second, third];
  if (title.trim() === '' || (over === undefined && /^\s/.test(title)) || adornment.exec(under)?.[1] === undefined) return undefined;
  if (over !== undefined && under !== first) return undefined;
  if (under.length < title.trim().length) return undefined;
  return {
    header: title.trim().replace(/\s+/g, ' '),
    style: `${over === undefined ? '' : 'over '}${under[0]}`,
    lines: over === undefined ? 2 : 3,
  };
}

function proseOf(text: string): string[] {
  if (otherThanProse.test(text)) return [];
  const line = text.replace(/\s+/g, ' ');
  const set = line.match(/``[^`]*``|`[^`]*`_{0,2}|https?:\/\/\S+/g) ?? [];
  return isProse(line, set.join(' ')) ? [line] : [];
}
