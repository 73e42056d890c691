import test from 'ava';
import { documents } from '../../sources/index.ts';
import type { Block } from '../../sources/blocks.ts';
import { blocksOfHtml } from '../../sources/html.ts';
import { blocksOfRst } from '../../sources/rst.ts';
import { candidatesOf, markdownOf, sectionsOf, type Section, type SegmentRules } from '../../sources/segments.ts';
import { files, lines, randomOf, rowsOf } from '../support/reduce.ts';

const random = randomOf('sources');
const word = () =>
  Array.from({ length: 3 + Math.floor(random() * 6) }, () => 'abcdefghijklmnopqrstuvwxyz'[Math.floor(random() * 26)]).join('');
const sentence = () =>
  `${Array.from({ length: 8 + Math.floor(random() * 8) }, word)
    .join(' ')
    .replace(/^./, (c) => c.toUpperCase())}.`;
function prose(chars: number): string {
  let text = sentence();
  while (text.length < chars) text += ` ${sentence()}`;
  return `${text.slice(0, chars - 1).trimEnd()}.`.padEnd(chars, '.');
}

test('H8: a segment has 600 to 3,000 characters and a header that is neither empty nor all capitals', async (t) => {
  const headers = ['How rivers form', 'ABOUT RIVERS', 'Newsletter', 'Join our forum today', '', '3 steps to a boat'];
  const document = () =>
    Array.from(
      { length: 12 },
      () =>
        `${'#'.repeat(1 + Math.floor(random() * 3))} ${headers[Math.floor(random() * headers.length)]!}\n\n${prose(100 + Math.floor(random() * 3500))}`,
    ).join('\n\n');
  const paths = await files(Object.fromEntries(Array.from({ length: 20 }, (_, n) => [`d${n}.md`, `${document()}\n`])));
  const { rows, dropped } = await rowsOf(documents, paths);
  t.true(rows.length > 20);
  for (const { text, header } of rows) {
    t.true(text.length >= 600 && text.length <= 3000);
    t.true(['How rivers form', '3 steps to a boat'].includes(header), header);
  }
  t.deepEqual([...new Set(dropped.map(({ reason }) => reason))].sort(), ['capitals', 'navigation', 'no-header', 'too-long', 'too-short']);
});

test('a segment takes the lower headings in; a section that is too long is taken apart, and no text is in two', (t) => {
  const [a, b, c, d] = [prose(700), prose(800), prose(2500), prose(900)];
  const text = `Before.\n\n# Rivers\n\n${a}\n\n## Springs\n\n${b}\n\n# Seas\n\n${d}\n\n## Tides\n\n${c}\n\n\`\`\`\n# no heading\n\`\`\`\n\nLakes\n-----\n\n${b.toLowerCase()}`;
  const found = [...candidatesOf(sectionsOf(text), rules)];
  t.deepEqual(
    found.map(({ header }) => header),
    ['', 'Rivers', 'Seas', 'Tides', 'Lakes'],
  );
  t.is(found[1]!.text, `${a}\n\nSprings\n\n${b}`);
  t.is(found[2]!.text, d);
  t.true(found[3]!.text.includes('# no heading'));
});
const rules: SegmentRules = { minChars: 600, maxChars: 3000, navigation: [], repetition: { ngram: 3, jaccard: 0.6 } };

/** The headings of a document with their levels, and its text in order. */
function outlineOf(source: string | readonly Block[]): { readonly headings: string[]; readonly text: string } {
  const all = (sections: readonly Section[]): Section[] => sections.flatMap((section) => [section, ...all(section.inner)]);
  const sections = all(sectionsOf(source));
  return {
    headings: sections.filter(({ level }) => level > 0).map(({ level, header }) => `${level} ${header}`),
    text: sections.map(({ own }) => own).join('\n\n'),
  };
}

for (const [what, markdown, headings] of [
  [
    'sharps at the end of a word are part of it',
    '# Getting started with C#\n\n## Interop from F# ##\n\n# \\#',
    ['1 Getting started with C#', '2 Interop from F#', '1 #'],
  ],
  ['a fence ends with one as long, of the same kind and bare', '````md\n```bash\n# no\n```\n~~~~\n```` x\n# no\n````\n# Yes', ['1 Yes']],
  ['an indented fence, and one in a list', '   ~~~\n# no\n   ~~~\n\n- a\n  ```\n# Yes\n', ['1 Yes']],
  ['a comment hides what is in it', '# Guide\n\n<!--\n# no\n\n## no\n-->\n\n## Next <!-- no --> step', ['1 Guide', '2 Next step']],
  ['front matter is none, and its end underlines nothing', '---\ntitle: a\n# no\n---\n\n# Yes', ['1 Yes']],
  ['front matter of any length', `+++\n${'# no\n'.repeat(2000)}+++\n# Yes`, ['1 Yes']],
  ['long lines and long gaps', `# One\n\n${'word '.repeat(9000)}\n# Two\n${'\n'.repeat(9000)}# Three`, ['1 One', '1 Two', '1 Three']],
  ['an underline behind a fence or a list is none', '```\na\n```\n---\n\n- item\n---\n\n| a |\n| - |\n---', []],
  ['underlined paragraphs of several lines', 'One\ntwo\n===\n\nThree\n-', ['1 One two', '2 Three']],
  [
    'headings of HTML',
    '<h1 align="center">\n  Top <em>of</em> it\n</h1>\n\ntext\n<h2>Second</h2>\n\n<pre>\n# no\n</pre>\n<script>\n\n# no\n</script>',
    ['1 Top of it', '2 Second'],
  ],
  ['headings within quotes and lists are none of the document', '> # no\n\n- # no\n\n    # no\n\n####### no\n\n#no', []],
  ['line ends of any system', '# One\r\rtext\r\r## Two\r\n\r\ntext', ['1 One', '2 Two']],
  ['markup and pictures are none of its words', '# [**Tea** `time`](#x) &amp; <b>more</b> ![cup](cup.png)', ['1 Tea time & more']],
  ['a byte order mark', '\ufeff# One', ['1 One']],
] as const)
  test(`no heading of Markdown is lost or made up: ${what}`, (t) => t.deepEqual(outlineOf(markdown).headings, [...headings]));

test('reStructuredText: a heading is a line that another underlines, its level the place of its style; comments and targets are no text', (t) => {
  const blocks = blocksOfRst(
    [
      '.. _top:\n\n=======\nThe top\n=======\n\nSome words here.\n',
      'First part\n----------\n\nRun it::\n\n    # no heading\n    make\n',
      'Within\n^^^^^^\n\n.. a comment\n   of two lines\n\n.. note:: Take care.\n\n- item\n\n-----\n',
      'Second part\n-----------\n\n===== =====\na     b\n===== =====\nc     d\n===== =====\n\nToo short\n---\n',
    ].join('\n'),
  );
  const outline = blocks.map((block) => ('header' in block ? `${block.level} ${block.header}` : block.text));
  t.deepEqual(outline, [
    '1 The top',
    'Some words here.',
    '2 First part',
    'Run it::',
    '    # no heading\n    make',
    '3 Within',
    '.. note:: Take care.',
    '- item',
    '2 Second part',
    '===== =====\na     b\n===== =====\nc     d\n===== =====',
    'Too short\n---',
  ]);
  t.deepEqual(
    blocks.flatMap((block) => ('header' in block ? [] : block.prose)),
    ['Some words here.', 'Run it::', '- item', 'Too short ---'],
  );
});

test('documents are read by their endings: sharps begin headings in Markdown, and comments of code in reStructuredText', async (t) => {
  const content = `Tea time\n========\n\n${prose(600)}\n\n# A comment\n\n${prose(600)}\n`;
  const headers = async (name: string) => (await rowsOf(documents, await files({ [name]: content }))).rows.map(({ header }) => header);
  t.deepEqual(await headers('a.md'), ['Tea time', 'A comment']);
  t.deepEqual(await headers('a.rst'), ['Tea time']);
});

test('comments, front matter and what HTML does not show are not in the text; the rest is as it was written', (t) => {
  const { text } = outlineOf(
    '---\na: b\n---\n# A\nOne <!-- x\ny --> two `<!-- code -->`.\n\n<!-- # z -->\n1. three <!-- q -->\n   - *four*\n\n```html\n<!-- kept -->\n\n\n  x\n```\n<style>p {}</style>\n<table><tr><td>Price</td><td>40</td></tr></table>\n',
  );
  t.is(text, 'One two `<!-- code -->`.\n\n1. three \n   - *four*\n\n```html\n<!-- kept -->\n\n\n  x\n```\n\nPrice | 40');
});

test('Markdown of any length is the same document as its parts', (t) => {
  const part = `# H\n\n${'a [b][c] `d`\n'.repeat(40)}\n${'- e\n\n  f\n'.repeat(300)}\n\`\`\`\n${'# no\n\n'.repeat(900)}\`\`\`\n\n<!-- ${'\n\n# no'.repeat(900)} -->\n\n`;
  const { headings, text } = outlineOf(`${part.repeat(3)}[c]: x\n`);
  t.deepEqual(headings, ['1 H', '1 H', '1 H']);
  t.is(text, `${Array(3).fill(outlineOf(part).text).join('\n\n')}\n\n[c]: x`);
});

test('a paragraph of any length is one text as it was written, and so is one of a list, with what stands behind it', (t) => {
  const said = 'It is said that *rivers* flow <!-- no -->down - as 1. water, and # that it is [so](a). ';
  const shown = said.replace('<!-- no -->', '');
  const words = 'Ein Wort, 12 Zeichen und > mehr\n* ';
  for (const [before, source, text] of [
    ['', said.repeat(4000), shown.replace(/ {2}/g, ' ').repeat(4000)],
    ['', `${said.trim()}\n`.repeat(4000), `${shown.trim().replace(/ {2}/g, ' ')}\n`.repeat(4000)],
    ['> ', 'one line of it\n'.repeat(9000), 'one line of it\n'.repeat(9000)],
    ['- ', words.slice(0, -2).repeat(9000), words.slice(0, -2).repeat(9000)],
    ['', '河流'.repeat(40_000), '河流'.repeat(40_000)],
  ] as const) {
    const found = outlineOf(`# H\n${before}${source}\n\n# Behind\nit`);
    t.deepEqual(found.headings, ['1 H', '1 Behind']);
    t.true(found.text.startsWith(`${before}${text.trimEnd()}`), `${before}${text.slice(0, 20)}`);
  }
});

test('HTML: cells, terms and items keep apart, code keeps its lines, and references are characters', (t) => {
  const html = `<h1>Prices and code</h1><table><tr><td>Price</td><td>40</td></tr><tr><th>Size<td>2<br>3</table><dl><dt>timeout</dt><dd>Seconds to wait</dd><dt>a<dt>b:<dd><p>Both</dl><ul><li>one<li>two<ol><li>x</ol></ul><pre># install
pip install x
if a:
    b()
</pre><p>caf&eacute; &#146;q&#148; 3 &times; 4`;
  t.is(
    markdownOf(html),
    '# Prices and code\n\nPrice | 40\nSize | 2 3\n\ntimeout: Seconds to wait\na, b: Both\n\n- one\n- two\n  1. x\n\n```\n# install\npip install x\nif a:\n    b()\n```\n\ncafé ’q” 3 × 4',
  );
  t.is(markdownOf('<pre>```\na\n```</pre>'), '````\n```\na\n```\n````');
});

test('HTML: only a heading element is a heading, and nothing that is not shown is text', (t) => {
  const html =
    '<p># 1 reason</p><p>&lt;h1&gt; no</p><p>no<br>===</p><script>if (a) b = "<!--";</script><!-- <h2>no</h2> --><a title="a > b" href="#">link</a><nav><h2>no</h2></nav><table><tr><td><h2>Cell</h2><p>in it</table><h3><span>Yes</span><br>it is</h3><pre><h1>no</h1></pre><template><h1>no</h1></template><p>end';
  const { headings, text } = outlineOf(blocksOfHtml(html));
  t.deepEqual(headings, ['2 Cell', '3 Yes it is']);
  t.is(text, '# 1 reason\n\n<h1> no\n\nno\n===\n\nlink\n\nin it\n\n```\nno\n```\n\nend');
  t.deepEqual(outlineOf(markdownOf(html)).headings, headings, 'as Markdown too');
  const hidden =
    '<p hidden>no</p><p style="color: red; display:none">no</p><div style="VISIBILITY: hidden"><h2>no</h2></div><p style="display: block">yes</p>';
  t.deepEqual(outlineOf(blocksOfHtml(hidden)), { headings: [], text: 'yes' });
});

test('long and deeply nested documents are read in time that grows as they do', (t) => {
  const headings = (count: number) => Array.from({ length: count }, (_, n) => `# H ${n}\n\ntext ${n}\n`).join('\n');
  const cpu = (read: () => unknown) => {
    const { user } = process.cpuUsage();
    read();
    return process.cpuUsage().user - user;
  };
  cpu(() => sectionsOf(headings(3000)));
  const [few, many] = [5000, 40_000].map((count) => cpu(() => [...candidatesOf(sectionsOf(headings(count)), rules)]));
  t.true(many! < 24 * few!, `${few} and ${many} µs`); // eight times as much; as pairs it would be 64 times
  for (const [mark, end] of [
    ['a line of it\n', ''],
    ['*a* [b](c) `d` ', ''],
    ['- ', 'x'],
    ['> ', 'x'],
  ] as const) {
    const [short, long] = [3e4, 24e4].map((chars) => cpu(() => sectionsOf(mark.repeat(chars / mark.length) + end)));
    t.true(long! < 24 * short!, `${mark} ${short} and ${long} µs`);
  }
  for (const tag of ['<svg/>', '<svg>', '<div>', '<b>', '<ul><li>', '<table><tr><td>', '<dl><dt>', '<h1>', '<!--'])
    t.true(cpu(() => markdownOf(tag.repeat(20_000))) < 5e6, tag);
  for (const mark of ['> ', '[', '<', '*a ', '`', '# ', '|', '\n']) t.notThrows(() => sectionsOf(mark.repeat(2000)), mark);
});

test('code, tables, formulas and lists of links are no sentences that repeat', (t) => {
  const again = 'return MemoryMarshal.CreateSpan(ref first, count of the items in it);';
  const faultOf = (text: string, source: string | readonly Block[] = `# Spans\n\n${prose(700)}\n\n${text}`) =>
    [...candidatesOf(sectionsOf(source), rules)].map(({ fault }) => fault?.reason);
  for (const [what, text] of [
    ['fences', `\`\`\`\n${again}\n${again}\n\`\`\`\n\n    ${again}\n`],
    ['inline code', `- \`${again}\`\n- \`${again}\``],
    ['tables', `| a | b |\n| - | - |\n| ${again} | 1 |\n| ${again} | 2 |`],
    [
      'links',
      `- [Notes of the design meeting of June 1](a.md)\n- [Notes of the design meeting of June 2](b.md)\n- [Notes of the design meeting of June 3][c]`,
    ],
    ['formulas', '$$ a + b + c + d + e + f = g $$\n\n$$ a + b + c + d + e + f = g + h $$'],
  ] as const)
    t.deepEqual(faultOf(text), [undefined], what);
  const page = (text: string) => blocksOfHtml(`<h1>Spans</h1><p>${prose(700)}</p>${text}`);
  for (const tag of ['<pre>#</pre>', '<table><tr><td>#</table>', '<ul><li><a href="a">#</a></ul>', '<p><code>#</code></p>'])
    t.deepEqual(faultOf('', page(tag.replace('#', again).repeat(2))), [undefined], tag);
  t.deepEqual(faultOf('', page(`<p>${again}</p>`.repeat(2))), ['repetitive']);
  t.deepEqual(faultOf(`${again}\n\n- ${again}`), ['repetitive']);
  t.deepEqual(faultOf(`${again}\n\n> The river is wide here. ${again.replace(' ', '\n> ')}`), ['repetitive'], 'whatever the lines');
});

test('a text that says a sentence again, in nearly the same words, is repetitive', (t) => {
  const said = 'The river begins high in the mountains where the snow melts late in spring.';
  const again = said.replace('late', 'early');
  const faults = (text: string, jaccard: number) =>
    [...candidatesOf(sectionsOf(`# Rivers\n\n${text}`), { ...rules, repetition: { ngram: 3, jaccard } })].map(({ fault }) => fault?.reason);
  t.deepEqual(faults(`${said} ${prose(700)} ${again}`, 0.6), ['repetitive']);
  t.deepEqual(faults(`${said} ${prose(700)} ${again}`, 0.9), [undefined]);
  t.deepEqual(faults(`Yes. ${prose(700)} Yes.`, 0.6), [undefined], 'short sentences may come again');
});

test('documents come from JSONL with a title, and from HTML, and equal texts once', async (t) => {
  const text = prose(800);
  const html = `<html><head><title>x</title></head><body><nav><h2>Menu</h2>${prose(900)}</nav><h1>Rivers &amp; <em>seas</em></h1><p>${text}</p><script>var a = "<h1>no</h1>";</script></body></html>`;
  const [json, page] = await files({ 'a.jsonl': lines({ page: { body: text, name: 'Rivers' } }, { page: {} }), 'p.html': html });
  const { rows, dropped } = await rowsOf(documents, [json!], { text: 'page.body', title: 'page.name', onInvalid: 'drop' });
  t.deepEqual(rows, [{ text, header: 'Rivers', document: 'a.jsonl:1' }]);
  t.deepEqual(dropped, [{ reason: 'invalid', evidence: 'a.jsonl:2 has no text at "page.body"' }]);
  t.deepEqual((await rowsOf(documents, [page!])).rows, [{ text, header: 'Rivers & seas', document: 'p.html' }]);
  const twice = await rowsOf(documents, [page!, page!]);
  t.deepEqual([twice.rows.length, twice.dropped.map(({ reason }) => reason)], [1, ['duplicate']]);
});

test('every candidate is kept or dropped with a reason', async (t) => {
  const text = Array.from({ length: 9 }, (_, n) => `# Part ${n}\n\n${prose(300 * (n + 1))}`).join('\n\n');
  const { rows, dropped } = await rowsOf(documents, await files({ 'a.md': text }));
  t.is(rows.length + dropped.length, 9);
  t.is(markdownOf('<p>a&nbsp;&#x62;&unknown;</p>'), 'a b&unknown;');
});

test('a document that gives nothing is dropped as empty by its name', async (t) => {
  const paths = await files({ 'a.jsonl': lines({ text: '' }), 'b.md': ' \n', 'c.html': '<form><input></form>' });
  const { rows, dropped } = await rowsOf(documents, paths);
  t.deepEqual(rows, []);
  t.deepEqual(
    dropped.map(({ reason, evidence }) => [reason, evidence]),
    ['a.jsonl:1', 'b.md', 'c.html'].map((name) => ['empty', `${name}: it holds no text`]),
  );
});
