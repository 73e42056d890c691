/** The style sheet of all pages and reports. */
export const style = `
:root { color-scheme: light dark; --ink: #1c1f24; --soft: #5d6673; --line: #d9dee5; --paper: #fff; --shade: #f4f6f9; --kept: #2a7a52; --gone: #c9622c;
  --accent: #2459a9; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ee; --soft: #9aa4b2; --line: #343b46; --paper: #15181d; --shade: #1d2128; --kept: #5bbf8b;
  --gone: #e88b56; --accent: #86b1f5; } }
* { box-sizing: border-box; }
body { margin: 0; font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); }
nav { padding: .6rem 1.5rem; border-bottom: 1px solid var(--line); color: var(--soft); background: var(--shade); }
main { padding: 1rem 1.5rem 4rem; max-width: 100rem; }
h1 { font-size: 1.5rem; margin: .3rem 0 .8rem; overflow-wrap: anywhere; }
h2 { font-size: 1.1rem; margin: 2rem 0 .5rem; }
h3 { font-size: 1rem; margin: 1rem 0 .3rem; } h3 .soft { font-weight: 400; }
a { color: var(--accent); text-decoration: none; }
a:hover, a:focus-visible { text-decoration: underline; }
p { max-width: 90ch; margin: .5rem 0; }
.soft, figcaption { color: var(--soft); }
.note { border-left: 4px solid var(--gone); padding: .3rem .8rem; background: var(--shade); }
.wide { overflow-x: auto; }
table { border-collapse: collapse; margin: .3rem 0; }
th { text-align: left; font-weight: 600; color: var(--soft); white-space: nowrap; }
th, td { padding: .35rem .9rem .35rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; }
.records td { min-width: 5rem; max-width: 34rem; }
.records td.number { max-width: 8rem; }
.text { white-space: pre-wrap; overflow-wrap: anywhere; }
details > summary { cursor: pointer; } details:has(.more) > summary { list-style: none; } summary.asked { color: var(--accent); }
.more { color: var(--accent); white-space: nowrap; padding-left: .4rem; }
details[open] > summary .more { display: none; }
.control { background: var(--gone); color: var(--paper); border-radius: 3px; padding: 0 .2em; font-size: .85em; }
code, .key { font-family: ui-monospace, monospace; font-size: .9em; }
.state { font-weight: 600; } .state.completed, .kept { color: var(--kept); } .state.failed, .state.attention, .dropped { color: var(--gone); }
form.filter { display: flex; flex-wrap: wrap; gap: .6rem 1rem; align-items: end; padding: .8rem; background: var(--shade); border-radius: 6px; margin: .6rem 0; }
form.filter label { display: flex; flex-direction: column; font-size: .85rem; color: var(--soft); }
input, select, button { font: inherit; color: inherit; background: var(--paper); border: 1px solid var(--line); border-radius: 4px; padding: .25rem .5rem; }
input[type=number] { width: 7rem; }
kbd { font: .8em ui-monospace, monospace; border: 1px solid var(--line); border-radius: 3px; padding: 0 .3em; color: var(--soft); }
form.edit label { display: block; color: var(--soft); margin: .4rem 0; } form.edit textarea { display: block; width: 100%; max-width: 90ch; font: inherit;
  color: var(--ink); background: var(--paper); border: 1px solid var(--line); border-radius: 4px; padding: .25rem .5rem; }
.tabs { display: flex; flex-wrap: wrap; gap: .3rem 1rem; margin: .5rem 0; }
.tabs [aria-current] { font-weight: 600; color: var(--ink); border-bottom: 2px solid var(--accent); }
.beside { display: grid; grid-template-columns: 1fr 1fr; gap: 1.5rem; }
.beside > * { min-width: 0; }
.funnel { display: block; height: 8px; width: 100%; min-width: 6rem; margin-top: .2rem; }
.funnel .kept { fill: var(--kept); } .funnel .dropped { fill: var(--gone); }
.cell { min-width: 8.5rem; }
.event { border-left: 3px solid var(--line); padding: .1rem 0 .6rem 1rem; margin-left: .3rem; }
.event.itself { border-color: var(--accent); } .event.dropped-here { border-color: var(--gone); }
.event h3 { margin: 0; }
dl.fields { display: grid; grid-template-columns: max-content minmax(0, 1fr); gap: .1rem 1rem; margin: .3rem 0; }
td dl.fields { margin-top: 0; } dl.fields dt { color: var(--soft); } dl.fields dd { margin: 0; max-width: 90ch; }
figure { margin: .5rem 0; } .chart { max-width: 100%; height: auto; color: var(--ink); } .chart .threshold { color: var(--gone); } .chart .second { color: var(--accent); }
figcaption { max-width: 34rem; } figcaption b { color: var(--ink); font-weight: 600; }
.lineage text { font: 12px system-ui, sans-serif; fill: var(--ink); } .lineage rect { fill: var(--shade); stroke: var(--line); }
.lineage .train rect { stroke: var(--accent); } .lineage .evaluate rect { stroke: var(--kept); } .lineage path { fill: none; stroke: var(--soft); opacity: .55; }
.htmx-request { opacity: .5; }
@media (max-width: 60rem) { .beside { grid-template-columns: 1fr; } main { padding: 1rem; } }
`;
