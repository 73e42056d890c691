/** Reads documents and splits them into segments. */
import { z } from 'zod';
import { drop, source, type Dropped } from '../recipe/index.ts';
import { sha256 } from '../schemas/canonical.ts';
import type { Block } from './blocks.ts';
import { blocksOfHtml } from './html.ts';
import { blocksOfRst } from './rst.ts';
import { filesOrConfig, hubDataset } from './hub.ts';
import { failOrDrop, onInvalid, paths } from './table.ts';
import { getAt, namesOf, textOf } from './lines.ts';
import { candidatesOf, sectionsOf } from './segments.ts';
import { entriesOf, TABLES } from './tables.ts';

const navigational = [
  'advertisement',
  'advertisements',
  'forum',
  'forums',
  'quick links',
  'newsletter',
  'newsletters',
  'subscribe',
  'navigation',
  'site map',
  'sitemap',
  'sign in',
  'sign up',
  'log in',
  'login',
  'contact us',
  'about us',
  'privacy policy',
  'terms of use',
  'related posts',
  'related articles',
  'recent posts',
  'recent comments',
  'leave a comment',
  'leave a reply',
  'share this',
  'table of contents',
];
const params = z
  .strictObject({
    path: paths
      .optional()
      .describe(
        'Files, folders and globs, in order: Markdown, HTML, reStructuredText and text, each also as .gz or .zst; or tables with a document a row, as `std.table` reads them. A folder stands for all such files below it.',
      ),
    hub: z.strictObject(hubDataset).check(filesOrConfig).optional().describe('A dataset on the Hugging Face Hub, in place of `path`.'),
    text: z.string().default('text').describe('Tables: where the text lies, such as `page.body`.'),
    title: z.string().optional().describe('Tables: where a title lies that heads the text.'),
    minChars: z.int().min(1).default(600),
    maxChars: z.int().min(1).default(3000),
    navigation: z.array(z.string()).default(navigational).describe('Phrases that make a header navigational.'),
    repetition: z
      .strictObject({ ngram: z.int().min(1).default(3), jaccard: z.number().gt(0).max(1).default(0.6) })
      .prefault({})
      .describe('Two sentences whose word n-grams are so alike make a segment repetitive. The paper names neither number.'),
    onInvalid,
  })
  .refine(({ minChars, maxChars }) => minChars <= maxChars, {
    path: ['minChars'],
    error: 'it is above maxChars, so nothing would be kept',
  })
  .refine(({ path, hub }) => (path === undefined) !== (hub === undefined), { path: ['path'], error: 'give just one of `path` and `hub`' });
type Params = z.infer<typeof params>;

const segment = z.strictObject({ text: z.string(), header: z.string(), document: z.string() });

/** Yields segments of documents: the text under a heading and its subheadings, with `minChars` to `maxChars` characters. Drops other
 *  text as `no-header`, `capitals`, `navigation`, `too-short`, `too-long`, `repetitive`, `duplicate` (the same text twice), `invalid` (a
 *  row of a table) or `empty` (a document without text). `std.dedup` drops near-duplicates. */
export const documents = source<z.infer<typeof segment>, Params>({
  version: 7,
  output: segment,
  params,
  endings: new RegExp(`\\.(md|markdown|html?|txt|rst)(\\.gz|\\.zst)?$|${TABLES.source}`, 'i'),
  files: ({ path }) => path ?? [],
  hub: ({ hub }) => hub,
  async *rows(params, files, place = () => {}) {
    const seen = new Set<string>();
    const nameOf = namesOf(files);
    for (const file of files) {
      for await (const { text, document, line } of documentsIn(file, nameOf(file), params)) {
        place(file, line);
        if (typeof text !== 'string' && 'dropped' in text) {
          yield text;
          continue;
        }
        let found = false;
        for (const { header, text: own, fault } of candidatesOf(sectionsOf(text), params)) {
          found = true;
          const digest = sha256(own);
          if (fault) yield drop(fault.reason, `${document}: ${fault.evidence}`);
          else if (seen.has(digest)) yield drop('duplicate', `${document}: ${header}`);
          else yield { text: own, header, document };
          if (!fault) seen.add(digest);
        }
        if (!found) yield drop('empty', `${document}: it holds no text`);
      }
    }
  },
});

/** Yields the documents of a file, named by file (and line). */
async function* documentsIn(
  file: string,
  name: string,
  { text, title, onInvalid }: Params,
): AsyncGenerator<{ readonly document: string; readonly text: string | readonly Block[] | Dropped; readonly line?: number | undefined }> {
  if (!TABLES.test(file)) {
    const content = await textOf(file);
    if (typeof content !== 'string') yield { document: name, text: failOrDrop({ file, name }, content, onInvalid) };
    else yield { document: name, text: readAs(file, content) };
    return;
  }
  for await (const line of entriesOf(file)) {
    const { number } = line;
    const document = number === undefined ? name : `${name}:${number}`;
    const content = 'fault' in line ? undefined : getAt(line.value, text);
    const fault = 'fault' in line ? line : { fault: `has no text at "${text}"`, remedy: 'mend the row' };
    if (typeof content !== 'string') yield { document, line: number, text: failOrDrop({ file, name, number }, fault, onInvalid) };
    else
      yield {
        document,
        line: number,
        text: prependTitle(content, 'value' in line && title !== undefined ? getAt(line.value, title) : undefined),
      };
  }
}
/** Blocks of HTML and reStructuredText; all else is Markdown. */
function readAs(file: string, content: string): string | readonly Block[] {
  const [, ending] = /\.(\w+)(?:\.gz|\.zst)?$/.exec(file.toLowerCase()) ?? [];
  if (ending === 'html' || ending === 'htm') return blocksOfHtml(content);
  return ending === 'rst' ? blocksOfRst(content) : content;
}
/** Puts the title before the text as a level-1 heading: it heads the text up to the document's next level-1 heading. */
const prependTitle = (text: string, title: unknown): string =>
  typeof title === 'string' && title.trim() !== '' ? `# ${title.trim().replace(/\s+/g, ' ')}\n\n${text}` : text;
