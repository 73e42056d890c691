/** Parses HTML as browsers do, into headings and text. */
import { defaultTreeAdapter as tree, parse, parseFragment, type DefaultTreeAdapterTypes } from 'parse5';
import { isProse, type Block, type Heading } from './blocks.ts';

type Node = DefaultTreeAdapterTypes.ChildNode;
type Element = DefaultTreeAdapterTypes.Element;

const tagSet = (text: string): ReadonlySet<string> => new Set(text.split(' '));
/** Elements without text, or outside the page's content. */
const skippedTags = tagSet(
  'head script style nav aside footer form noscript svg template iframe audio video canvas select button textarea datalist noembed noframes',
);
const blockTags = tagSet(
  'html body p div section article main header hgroup ul ol menu li dl dt dd table caption thead tbody tfoot tr td th colgroup blockquote pre figure figcaption details summary fieldset legend address center hr search listing xmp plaintext h1 h2 h3 h4 h5 h6 dialog',
);
/** A table with one of these in a cell is a layout table. */
const layoutTags = tagSet('table pre ul ol dl h1 h2 h3 h4 h5 h6 blockquote listing xmp');
const preformattedTags = tagSet('pre listing xmp plaintext');

const isHidden = (element: Element): boolean =>
  skippedTags.has(element.tagName) ||
  attribute(element, 'hidden') !== undefined ||
  /(?:^|;)\s*(?:display\s*:\s*none|visibility\s*:\s*hidden)/i.test(attribute(element, 'style') ?? '');

/** Returns the headings and text of a page or of a fragment. */
export function blocksOfHtml(html: string, part = false): Block[] {
  const page = new Page();
  const open: { readonly node: Element; next: number }[] = [];
  const root = (part ? parseFragment(html) : parse(html)) as unknown as Element;
  open.push({ node: root, next: 0 });
  // An explicit stack, because a page may be nested deeper than the call stack.
  for (let top = open.at(-1); top; top = open.at(-1)) {
    const child: Node | undefined = top.node.childNodes[top.next++];
    if (child === undefined) {
      open.pop();
      if (top.node !== root) page.leave(top.node.tagName);
    } else if (tree.isTextNode(child)) page.write(child.value);
    else if (tree.isElementNode(child) && !isHidden(child)) {
      page.enter(child);
      open.push({ node: child, next: 0 });
    }
  }
  page.flush();
  return page.blocks;
}

/** Collects the visible text in page order. */
class Page {
  readonly blocks: Block[] = [];
  #line = '';
  /** The part of the line inside links or code. */
  #set = '';
  #inSet = 0;
  /** The level of the open heading. */
  #heading: Heading['level'] | 0 = 0;
  #preformatted = 0;
  /** The prefix of the next line: the mark of a list item, or the terms that it explains. */
  #mark: string | undefined;
  #terms: string[] = [];
  /** Open lists, with the number of the next item; undefined if the list is unnumbered. */
  readonly #lists: (number | undefined)[] = [];
  /** Open tables: data tables with their rows, layout tables as undefined. */
  readonly #tables: ({ readonly rows: string[]; cells: string[] } | undefined)[] = [];

  write(text: string): void {
    const shown = this.#preformatted > 0 ? text : text.replace(/[ \t\n\f\r]+/g, ' ');
    this.#line += shown;
    if (this.#inSet > 0) this.#set += shown;
  }

  enter(element: Element): void {
    const name = element.tagName;
    const table = this.#tables.at(-1);
    if (name === 'br') this.write(this.#preformatted > 0 ? '\n' : this.#heading > 0 || table ? ' ' : '\u2028');
    if (name === 'a' || name === 'code') this.#inSet++;
    if (!blockTags.has(name)) return;
    if (this.#heading > 0 || this.#preformatted > 0) return this.write(this.#preformatted > 0 ? '' : ' ');
    if (table && !['tr', 'td', 'th', 'caption'].includes(name)) return this.write(' ');
    this.flush();
    if (/^h[1-6]$/.test(name)) this.#heading = Number(name[1]) as Heading['level'];
    if (preformattedTags.has(name)) this.#preformatted = 1;
    if (name === 'dl' || this.#lists.length === 0) this.#follows = this.#follows && !['ul', 'menu', 'ol', 'dl'].includes(name);
    if (name === 'ul' || name === 'menu') this.#lists.push(undefined);
    if (name === 'ol') this.#lists.push(Number(attribute(element, 'start')) || 1);
    if (name === 'li') this.#mark = this.#item();
    if (name === 'dt' && this.#terms.length === 0) this.#mark = undefined;
    if (name === 'dd' && this.#terms.length > 0) this.#mark = `${this.#terms.splice(0).join(', ').replace(/:$/, '')}: `;
    if (name === 'table') this.#tables.push(isLayout(element) ? undefined : { rows: [], cells: [] });
  }

  leave(name: string): void {
    if (name === 'a' || name === 'code') this.#inSet--;
    if (!blockTags.has(name)) return;
    const table = this.#tables.at(-1);
    if (this.#heading > 0) return name === `h${this.#heading}` ? this.#endHeading() : this.write(' ');
    if (this.#preformatted > 0) return preformattedTags.has(name) ? this.#endCode() : undefined;
    if (name === 'table') {
      if (!table) this.flush();
      this.#tables.pop();
      if (!table || table.rows.length === 0) return;
      this.#endMark();
      this.#push(table.rows.join('\n'), false, []);
    } else if (table && (name === 'td' || name === 'th')) table.cells.push(this.#take().text);
    else if (table && name === 'tr') {
      if (table.cells.some((cell) => cell !== '')) table.rows.push(table.cells.join(' | ').trimEnd());
      table.cells = [];
    } else if (table && name !== 'caption') this.write(' ');
    else if (name === 'dt') this.#terms.push(...[this.#take().text].filter((term) => term !== ''));
    else {
      this.flush();
      if (name === 'ul' || name === 'menu' || name === 'ol') this.#lists.pop();
      if (name === 'dl') this.#endTerms();
      if (name === 'li' || name === 'dd') this.#endItem();
    }
  }

  /** Ends a paragraph. */
  flush(): void {
    const { text, set } = this.#take();
    if (text === '') return;
    if (this.#mark === undefined) this.#endTerms();
    const tight = this.#mark !== undefined && this.blocks.at(-1)?.level === 0 && this.#follows;
    this.#follows = this.#mark !== undefined;
    const mark = this.#mark ?? '';
    this.#mark = undefined;
    this.#push(`${mark}${text}`, tight, isProse(text, set) ? [text.replaceAll('\n', ' ')] : []);
  }
  /** Whether the last paragraph began with a mark. */
  #follows = false;

  #push(text: string, tight: boolean, prose: readonly string[]): void {
    this.blocks.push({ level: 0, text, tight, prose });
  }
  /** A term without an explanation becomes a paragraph of its own. */
  #endItem(): void {
    const term = this.#mark?.trim() ?? '';
    this.#mark = undefined;
    if (/[^\d.-]/.test(term)) this.#push(term, false, []);
  }
  /** Ends items and terms before a block that is not a paragraph. */
  #endMark(): void {
    this.#endItem();
    this.#follows = false;
    this.#endTerms();
  }
  #take(): { readonly text: string; readonly set: string } {
    const text = this.#line
      .replace(/\u00a0/g, ' ')
      .replace(/ {2,}/g, ' ')
      .replace(/ ?\u2028 ?/g, '\n')
      .trim();
    const set = this.#set;
    this.#line = this.#set = '';
    return { text, set };
  }
  #item(): string {
    const number = this.#lists.at(-1);
    if (number !== undefined) this.#lists[this.#lists.length - 1] = number + 1;
    return `${'  '.repeat(Math.min(8, Math.max(0, this.#lists.length - 1)))}${number === undefined ? '-' : `${number}.`} `;
  }
  /** Emits terms without an explanation. */
  #endTerms(): void {
    for (const term of this.#terms.splice(0)) this.#push(term, false, []);
  }
  #endHeading(): void {
    const { text } = this.#take();
    const level = this.#heading;
    this.#heading = 0;
    if (text === '' || level === 0) return;
    this.#endMark();
    this.blocks.push({ level, header: text.replace(/\s+/g, ' ') });
  }
  #endCode(): void {
    const lines = this.#line.replace(/^\n/, '').trimEnd();
    this.#line = this.#set = '';
    this.#preformatted = 0;
    if (lines.trim() === '') return;
    this.#endMark();
    const fence = '`'.repeat(Math.max(3, ...(lines.match(/`{3,}/g) ?? []).map(({ length }) => length + 1)));
    this.#push(`${fence}\n${lines}\n${fence}`, false, []);
  }
}

const attribute = ({ attrs }: Element, name: string): string | undefined => attrs.find((one) => one.name === name)?.value;

/** Whether a table contains an element that no data cell has. Stops at the first one, so nested tables cost no more. */
function isLayout(table: Element): boolean {
  const open: Node[] = [...table.childNodes];
  for (let node = open.pop(); node; node = open.pop()) {
    if (!tree.isElementNode(node)) continue;
    if (layoutTags.has(node.tagName)) return true;
    open.push(...node.childNodes);
  }
  return false;
}
