/** What a model means by a reply: without its thoughts, and without tokens of the turn that leaked into it. */

/** Tags of thoughts as Qwen and DeepSeek, Mistral and Kimi write them, and those that prompts ask for. */
const tags = /<(\/?)(?:think|thinking|thoughts?|reasoning)>|\[(\/?)THINK\]|◁(\/?)think▷/gi;
/** gpt-oss writes in channels; the last is what is said. */
const finalChannel = /^[\s\S]*<\|channel\|>final<\|message\|>/;

/** Characters of a token, and more. */
const LONGEST = 60;
const special = String.raw`<[|｜][a-z][\w▁]{0,40}[|｜]>`;
const end = new RegExp(String.raw`(?:${special}|<\/s>|<eos>|<pad>|<end_of_turn>|<end_of_utterance>|\[EOS\]|\[\/INST\])$`, 'i');
/** The end of the turn, and one that the model writes for somebody else. */
const runOn = new RegExp(
  String.raw`(?:${special}|<\/s>|<eos>|<end_of_turn>)\s*(?:<[|｜](?:im_start|start_header_id|start|begin_of_text|user|system)[|｜]>|<start_of_turn>|<s>|\[INST\])[\s\S]*$`,
  'i',
);
const header =
  /^\s*(?:<\|im_start\|>\s*assistant\b|<\|start_header_id\|>\s*assistant\s*<\|end_header_id\|>|<start_of_turn>\s*model\b|<\|assistant\|>)\s*/i;

/** A reply as it was meant; undefined: its thought has no end, so that nothing was said yet. */
export function said(reply: string): string | undefined {
  const text = withoutThoughts(reply.replace(header, '').replace(finalChannel, ''));
  return text && withoutTokens(text.replace(header, '').replace(runOn, ''));
}

/** A tag that opens a thought begins a line; within one it is mentioned. A closing tag alone ends a thought that the prompt has opened. */
function withoutThoughts(text: string): string | undefined {
  if (/^\s*<\|channel\|>/.test(text)) return undefined;
  let [kept, from, thinking, mentioned] = ['', 0, false, false];
  for (const match of text.matchAll(tags)) {
    const closes = match.slice(1).includes('/');
    if (!closes && !thinking) {
      thinking = beginsLine(text, from, match.index);
      mentioned = !thinking;
      if (thinking) kept += text.slice(from, match.index);
    } else if (closes && mentioned) mentioned = false;
    else if (closes && !'`"\''.includes(text[match.index - 1] ?? ' ')) {
      if (!thinking) kept = '';
      thinking = false;
      from = match.index + match[0].length;
    }
  }
  return thinking ? undefined : kept + text.slice(from);
}

function beginsLine(text: string, from: number, index: number): boolean {
  let at = index - 1;
  while (at >= from && (text[at] === ' ' || text[at] === '\t')) at--;
  return at < from || text[at] === '\n';
}

function withoutTokens(text: string): string {
  let bare = text.trimEnd();
  for (let found = end.exec(bare.slice(-LONGEST)); found; found = end.exec(bare.slice(-LONGEST))) {
    const before = bare.slice(0, -found[0].length);
    if (found[0] === '</s>' && before.lastIndexOf('<s>') > before.lastIndexOf('</s>')) return bare; // struck out
    bare = before.trimEnd();
  }
  return bare;
}
