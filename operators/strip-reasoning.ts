/** Strips reasoning and leaked special tokens from a reply. */

/** Reasoning tags of Qwen and DeepSeek, Mistral and Kimi, and tags that prompts request. */
const thinkingTags = /<(\/?)(?:think|thinking|thoughts?|reasoning)>|\[(\/?)THINK\]|◁(\/?)think▷/gi;
/** gpt-oss writes in channels; the last one holds the answer. */
const finalChannel = /^[\s\S]*<\|channel\|>final<\|message\|>/;

/** An upper bound for the characters of one special token. */
const MAX_TOKEN_CHARS = 60;
const special = String.raw`<[|｜][a-z][\w▁]{0,40}[|｜]>`;
const endTokens = new RegExp(String.raw`(?:${special}|<\/s>|<eos>|<pad>|<end_of_turn>|<end_of_utterance>|\[EOS\]|\[\/INST\])$`, 'i');
/** The end of the turn, and a further turn that the model made up. */
const nextTurn = new RegExp(
  String.raw`(?:${special}|<\/s>|<eos>|<end_of_turn>)\s*(?:<[|｜](?:im_start|start_header_id|start|begin_of_text|user|system)[|｜]>|<start_of_turn>|<s>|\[INST\])[\s\S]*$`,
  'i',
);
const header =
  /^\s*(?:<\|im_start\|>\s*assistant\b|<\|start_header_id\|>\s*assistant\s*<\|end_header_id\|>|<start_of_turn>\s*model\b|<\|assistant\|>)\s*/i;

/** Returns the answer in a reply, or undefined if the reasoning never ends. */
export function stripReasoning(reply: string): string | undefined {
  const text = dropThinking(reply.replace(header, '').replace(finalChannel, ''));
  return text && dropSpecialTokens(text.replace(header, '').replace(nextTurn, ''));
}

/** An opening tag counts only at the beginning of a line; inside reasoning it is a mention. A closing tag alone ends reasoning that the
 *  prompt opened. */
function dropThinking(text: string): string | undefined {
  if (/^\s*<\|channel\|>/.test(text)) return undefined;
  let [kept, from, thinking, mentioned] = ['', 0, false, false];
  for (const match of text.matchAll(thinkingTags)) {
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

function dropSpecialTokens(text: string): string {
  let bare = text.trimEnd();
  for (let found = endTokens.exec(bare.slice(-MAX_TOKEN_CHARS)); found; found = endTokens.exec(bare.slice(-MAX_TOKEN_CHARS))) {
    const before = bare.slice(0, -found[0].length);
    if (found[0] === '</s>' && before.lastIndexOf('<s>') > before.lastIndexOf('</s>')) return bare; // Markdown strikethrough, not an end token
    bare = before.trimEnd();
  }
  return bare;
}
