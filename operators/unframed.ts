/** Strips the framing that models put round a requested instruction. Do not use it on answers: there the same words may be content. */

const word = String.raw`(?:sure(?: thing)?|certainly|of course|absolutely|okay|ok|great|no problem|got it)`;
const thing = String.raw`(?:instructions?|questions?|prompts?|quer(?:y|ies)|requests?|tasks?)`;
const mark = String.raw`[*_#\s]*`;
/** Preambles to remove if text follows them. */
const preambles = [
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
/** Wrappers round the whole text. */
const wrappers = [
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
    for (const frame of preambles) text = text.replace(frame, '');
    for (const frame of wrappers) text = frame.exec(text)?.groups!['own']!.trim() || text;
  }
  return text;
}
