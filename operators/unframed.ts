/** An instruction that a model was asked for, without what models put round it. An answer is not read through this: there it may be meant. */

const word = String.raw`(?:sure(?: thing)?|certainly|of course|absolutely|okay|ok|great|no problem|got it)`;
const thing = String.raw`(?:instructions?|questions?|prompts?|quer(?:y|ies)|requests?|tasks?)`;
const mark = String.raw`[*_#\s]*`;
/** What may stand before it, and is taken away where something is left behind it. */
const before = [
  // Sure! Here is a question that fits:
  String.raw`${word}\s*[!,.:–—-]\s*(?:here(?:['’]?s| is| are| you go| it is)|below is|the following)[^\n:]{0,160}:`,
  // Here is the instruction you asked for:
  String.raw`${mark}(?:here(?:['’]?s| is)|below is|the following is)\b[^\n:]{0,80}\b${thing}\b[^\n:]{0,80}:${mark}`,
  // Certainly!
  String.raw`${word}\s*[!.,:]\s*\n`,
  // **Question:**
  String.raw`${mark}(?:(?:user|possible|potential|generated|new) )?${thing}\s*${mark}[:：]${mark}`,
  String.raw`${mark}(?:指令|指示|问题|提问|問題|質問|问)\s*${mark}[:：]${mark}`,
].map((pattern) => new RegExp(String.raw`^${pattern}\s*(?=\S)`, 'i'));
/** What may stand round all of it. */
const round = [
  /^(`{3,}|~{3,})[ \t]*(?:text|txt|plaintext|markdown|md)?[ \t]*\n(?<own>[^]*?)\n?[ \t]*\1$/,
  /^"(?<own>[^"]+)"$/,
  /^[“„](?<own>[^“”„]+)[”“]$/,
  /^「(?<own>[^「」]+)」$/,
  /^\*\*(?<own>[^*\n]+)\*\*$/,
];

export function unframed(reply: string): string {
  let text = reply.trim();
  for (let length = Infinity; text.length < length;) {
    length = text.length;
    for (const frame of before) text = text.replace(frame, '');
    for (const frame of round) text = frame.exec(text)?.groups!['own']!.trim() || text;
  }
  return text;
}
