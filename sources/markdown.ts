/** Markdown by the rules of CommonMark and GitHub, with front matter. */
import type { Nodes, RootContent } from 'mdast';
import { fromMarkdown } from 'mdast-util-from-markdown';
import { frontmatterFromMarkdown } from 'mdast-util-frontmatter';
import { gfmFromMarkdown } from 'mdast-util-gfm';
import { frontmatter } from 'micromark-extension-frontmatter';
import { gfm } from 'micromark-extension-gfm';
import { isProse, type Block } from './blocks.ts';
import { blocksOfHtml } from './html.ts';

// Without its search for addresses in the finished tree, which nobody here asks for, and which fails on deep trees.
const github = { extensions: [gfm()], mdastExtensions: gfmFromMarkdown().map(({ transforms: _, ...rest }) => rest) };
const formats = ['yaml' as const, 'toml' as const];
const beginning = {
  extensions: [...github.extensions, frontmatter(formats)],
  mdastExtensions: [...github.mdastExtensions, frontmatterFromMarkdown(formats)],
};

/** Characters that are parsed at once: the parser keeps so much of each that a long text would take it far longer as a whole. */
const PART = 1 << 11;
/** Characters of a paragraph that are parsed at once, for the same reason. */
const LONG = 1 << 13;
/** Quotes and lists within each other that are looked into: to look into one more takes as long as all before together. */
const DEEP = 100;

/** Blocks of a text as it is written, without comments and front matter. HTML blocks are what they show; headings within quotes, lists and
 *  code are no headings of the document. */
export function blocksOfMarkdown(source: string): Block[] {
  const text = source.replace(/^\ufeff/, '').replace(/\r\n?/g, '\n');
  const blocks: Block[] = [];
  for (const { node, part, tight, gap } of nodesOf(text)) {
    if (node.type === 'heading') blocks.push({ level: node.depth, header: headerOf(part, node.children) });
    else if (node.type === 'html') blocks.push(...blocksOfHtml(node.value, true));
    else if (node.type !== 'yaml' && (node.type as string) !== 'toml') {
      const [from, to] = spanOf(node);
      const own = without(part, part.lastIndexOf('\n', from - 1) + 1, to, hiddenIn(node));
      const before = gap === undefined ? undefined : blocks.at(-1);
      if (before?.level === 0) {
        blocks[blocks.length - 1] = { ...before, text: before.text + gap + own, prose: [...before.prose, ...proseOf(node, part)] };
      } else if (own.trim() !== '') blocks.push({ level: 0, text: own, tight, prose: proseOf(node, part) });
    }
  }
  return blocks;
}

interface Found {
  readonly node: RootContent;
  /** Of the text; the node lies in it. */
  readonly part: string;
  /** No empty line and no HTML stands before it. */
  readonly tight: boolean;
  /** White space between this node and the paragraph that it continues; undefined: it continues none. */
  readonly gap: string | undefined;
}

/** The nodes of a document. Of a part the last node, which may go on, is parsed again with the next part; no line changes what lies further
 *  back. Only a long paragraph is parsed piece by piece. */
function* nodesOf(text: string): Generator<Found> {
  const mark = /^(---|\+\+\+)[ \t]*\n/.exec(text)?.[1];
  let size = Math.max(PART, mark === undefined ? 0 : text.indexOf(`\n${mark}`) + 1);
  let before: number | undefined = 0;
  let goesOn = false;
  for (let from = 0; from < text.length;) {
    const line = text.indexOf('\n', from + size) + 1 || text.length;
    let part = text.slice(from, Math.min(line, from + size + LONG));
    const last = from + part.length === text.length;
    let nodes = parsed(part, from === 0);
    const piece = !last && nodes.length < 2 && isLong(nodes[0]) ? pieceOf(part) : undefined;
    if (!last && nodes.length < 2) {
      if (piece === undefined) {
        size *= 2;
        continue;
      }
      part = piece;
      nodes = parsed(part, from === 0);
    }
    const done = last || piece !== undefined ? nodes : nodes.slice(0, -1);
    for (const [at, node] of done.entries()) {
      const [start, end] = spanOf(node);
      const between = before === undefined ? undefined : text.slice(before, from + start);
      yield {
        node,
        part,
        tight: between !== undefined && !/\n\s*\n|^$/.test(between),
        gap: goesOn && at === 0 ? text.slice(before, from) : undefined,
      };
      before = node.type === 'html' ? undefined : from + end;
    }
    if (last) return;
    goesOn = piece !== undefined;
    from += piece !== undefined ? part.length : part.lastIndexOf('\n', spanOf(nodes.at(-1)!)[0] - 1) + 1;
    size = piece !== undefined ? LONG : PART;
  }
}

/** Parses a part with its deepest markers as plain text, which leaves all positions as they are. */
function parsed(part: string, first: boolean): RootContent[] {
  const shallow = part.replace(deeper, (line, seen: string) => (/^[\s*]+$|^[\s-]+$/.test(line) ? line : seen.padEnd(line.length, 'x')));
  return fromMarkdown(shallow, first ? beginning : github).children;
}
const deeper = new RegExp(String.raw`^((?:[ \t]*(?:>|(?:[-+*]|\d{1,9}[.)])[ \t])){${DEEP}}).*`, 'gm');

/** Whether the last text in a node is too long to be parsed again and again. */
function isLong(node: Nodes | undefined): boolean {
  if (!node || !('children' in node)) return false;
  if (!['paragraph', 'heading', 'tableCell'].includes(node.type)) return isLong(node.children.at(-1));
  const [start, end] = spanOf(node);
  return end - start >= LONG;
}

/** The beginning of a paragraph. It ends before a word, since no markup begins with a letter, else at a space, and never inside a comment. */
function pieceOf(part: string): string | undefined {
  const open = part.lastIndexOf('<!--');
  const closed = open > part.lastIndexOf('-->') ? part.slice(0, open) : part;
  const [piece] = upToWord.exec(closed) ?? upToSpace.exec(closed) ?? [closed];
  return piece === '' ? undefined : piece;
}
const outside = String.raw`(?!(?:(?!<!--)[^])*-->)`;
const upToWord = new RegExp(String.raw`^[^]*[\s。，！？；：](?=\p{L})${outside}`, 'u');
const upToSpace = new RegExp(String.raw`^[^]*\s${outside}`, 'u');

type Span = readonly [from: number, to: number];
const spanOf = ({ position }: Nodes): Span => [position!.start.offset!, position!.end.offset!];

function headerOf(text: string, children: readonly Nodes[]): string {
  const [first, last] = [children[0], children.at(-1)];
  if (!first || !last) return '';
  return without(text, spanOf(first)[0], spanOf(last)[1], children.flatMap(hiddenIn)).replace(/\s+/g, ' ').trim();
}

/** A part of the text without some spans of it. */
function without(text: string, from: number, to: number, spans: readonly Span[]): string {
  const parts: string[] = [];
  let at = from;
  for (const [start, end] of spans) {
    parts.push(text.slice(at, start));
    at = text[start - 1] === ' ' && text[end] === ' ' ? end + 1 : end;
  }
  return [...parts, text.slice(at, to)].join('');
}

/** A node and all in it, in order. By hand: it may be nested deeper than functions can be. */
function* within(node: Nodes, enters: (node: Nodes) => boolean = () => true): Generator<Nodes> {
  const open: Nodes[] = [node];
  for (let next = open.pop(); next; next = open.pop()) {
    yield next;
    if ('children' in next && enters(next)) open.push(...next.children.toReversed());
  }
}

/** Where the source has what is not shown: comments, scripts, styles. */
const hiddenIn = (node: Nodes): Span[] =>
  [...within(node)].flatMap((one) => (one.type === 'html' && /^<(?:!--|script\b|style\b)/i.test(one.value) ? [spanOf(one)] : []));

/** Its paragraphs, but for those of tables and those that consist of links, code and formulas. From the source: whether brackets refer to something
 *  may hang on another part of the document. */
const proseOf = (node: Nodes, source: string): string[] =>
  [...within(node, ({ type }) => !['paragraph', 'table', 'heading'].includes(type))].flatMap((one) => {
    if (one.type !== 'paragraph') return [];
    const text = without(source, ...spanOf(one), hiddenIn(one))
      .replace(/\]\((?:[^()\s]|\([^()]*\))*(?:\s+"[^"]*")?\)|\]\[[^[\]]*\]/g, ']')
      .replace(/<\/?[a-z][\w-]*(?:\s[^<>]*)?\/?>/gi, '')
      .replace(/\s*\n[\s>]*|\s+/g, ' ');
    const set = text.match(/\[[^[\]]*\]|`[^`]*`|\${1,2}[^$]+\${1,2}|https?:\/\/\S+/g) ?? [];
    return isProse(text, set.join(' ')) ? [text] : [];
  });
