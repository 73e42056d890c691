/** Parses Markdown (CommonMark and GitHub, with front matter) into headings and text. */
import type { Nodes, RootContent } from 'mdast';
import { fromMarkdown } from 'mdast-util-from-markdown';
import { frontmatterFromMarkdown } from 'mdast-util-frontmatter';
import { gfmFromMarkdown } from 'mdast-util-gfm';
import { frontmatter } from 'micromark-extension-frontmatter';
import { gfm } from 'micromark-extension-gfm';
import { isProse, type Block } from './blocks.ts';
import { blocksOfHtml } from './html.ts';

// Without GFM's search for addresses in the finished tree: nothing here uses it, and it fails on deep trees.
const github = { extensions: [gfm()], mdastExtensions: gfmFromMarkdown().map(({ transforms: _, ...rest }) => rest) };
const formats = ['yaml' as const, 'toml' as const];
const beginning = {
  extensions: [...github.extensions, frontmatter(formats)],
  mdastExtensions: [...github.mdastExtensions, frontmatterFromMarkdown(formats)],
};

/** Characters to parse at once: the parser keeps so much state that a long text takes much longer as one piece. */
const PART_CHARS = 1 << 11;
/** Characters of a paragraph to parse at once, for the same reason. */
const MAX_PARAGRAPH_CHARS = 1 << 13;
/** Maximum nesting of quotes and lists to parse: each further level doubles the time. */
const MAX_DEPTH = 100;

/** Returns the blocks of a text, without comments and front matter. HTML blocks become their visible text; headings inside quotes, lists
 *  and code do not count as headings. */
export function blocksOfMarkdown(source: string): Block[] {
  const text = source.replace(/^\ufeff/, '').replace(/\r\n?/g, '\n');
  const blocks: Block[] = [];
  for (const { node, part, tight, gap } of nodesOf(text)) {
    if (node.type === 'heading') blocks.push({ level: node.depth, header: headerOf(node) });
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
  /** The part of the text that contains the node. */
  readonly part: string;
  /** Neither an empty line nor HTML precedes it. */
  readonly tight: boolean;
  /** White space between this node and the paragraph that it continues; undefined if it continues none. */
  readonly gap: string | undefined;
}

/** Yields the nodes of a document, part by part. The last node of a part may continue, so it is parsed again with the next part; later
 *  lines do not change earlier nodes. Only a long paragraph is parsed in pieces. */
function* nodesOf(text: string): Generator<Found> {
  const mark = /^(---|\+\+\+)[ \t]*\n/.exec(text)?.[1];
  let size = Math.max(PART_CHARS, mark === undefined ? 0 : text.indexOf(`\n${mark}`) + 1);
  let before: number | undefined = 0;
  let goesOn = false;
  for (let from = 0; from < text.length;) {
    const line = text.indexOf('\n', from + size) + 1 || text.length;
    let part = text.slice(from, Math.min(line, from + size + MAX_PARAGRAPH_CHARS));
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
    size = piece !== undefined ? MAX_PARAGRAPH_CHARS : PART_CHARS;
  }
}

/** Parses a part and treats markers beyond the maximum nesting as plain text, without changing positions. */
function parsed(part: string, first: boolean): RootContent[] {
  const shallow = part.replace(deeper, (line, seen: string) => (/^[\s*]+$|^[\s-]+$/.test(line) ? line : seen.padEnd(line.length, 'x')));
  return fromMarkdown(shallow, first ? beginning : github).children;
}
const deeper = new RegExp(String.raw`^((?:[ \t]*(?:>|(?:[-+*]|\d{1,9}[.)])[ \t])){${MAX_DEPTH}}).*`, 'gm');

/** Whether the last text of a node is too long to parse repeatedly. */
function isLong(node: Nodes | undefined): boolean {
  if (!node || !('children' in node)) return false;
  if (!['paragraph', 'heading', 'tableCell'].includes(node.type)) return isLong(node.children.at(-1));
  const [start, end] = spanOf(node);
  return end - start >= MAX_PARAGRAPH_CHARS;
}

/** Returns the first piece of a paragraph. It ends before a word, because no markup begins with a letter, or else at a space, but never
 *  inside a comment. */
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

/** The words of a heading, without markup and pictures. */
const headerOf = (heading: Nodes): string =>
  [...within(heading)]
    .map((node) => (node.type === 'text' || node.type === 'inlineCode' ? node.value : node.type === 'break' ? ' ' : ''))
    .join('')
    .replace(/\s+/g, ' ')
    .trim();

/** Returns a range of the text without the given spans. */
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

/** Returns the spans of hidden source: comments, scripts, styles. */
const hiddenIn = (node: Nodes): Span[] =>
  [...within(node)].flatMap((one) => (one.type === 'html' && /^<(?:!--|script\b|style\b)/i.test(one.value) ? [spanOf(one)] : []));

/** Returns the paragraphs of a node, except those of tables and those that consist of links, code and formulas. Works on the source,
 *  because another part of the document may decide whether brackets are a reference. */
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
