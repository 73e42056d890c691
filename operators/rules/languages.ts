/** Tells the language of a text. */

/** ISO 639-1 codes of the languages that `eld` tells apart. */
const ofEld =
  'am ar az be bg bn ca cs da de el en es et eu fa fi fr gu he hi hr hu hy is it ja ka kn ko ku lo lt lv ml mr ms nl no or pa pl pt ro ru sk sl sq sr sv ta te th tl tr uk ur vi yo zh'.split(
    ' ',
  );
/** Languages of IFEval that `eld` lacks, by their codes in `franc`. */
const ofFranc: Readonly<Record<string, string>> = { ne: 'npi', sw: 'swh' };
/** Bhojpuri, Magahi and Maithili, whose trigrams are near those of Hindi and Nepali alike. */
const ignore = ['bho', 'mag', 'mai'];

export const languages: readonly string[] = [...ofEld, ...Object.keys(ofFranc)];

const names = new Intl.DisplayNames(['en'], { type: 'language' });
export const languageName = (code: string): string => names.of(code) ?? code;

/** Whether a text is in a language. A text in which nobody can tell any, such as a number, counts as in every one. */
export async function isInLanguage(text: string, code: string): Promise<boolean> {
  const { franc } = await import('franc-min');
  const other = ofFranc[code];
  if (other !== undefined) return [other, 'und'].includes(franc(text, { ignore }));
  const { eld } = await import('eld/medium'); // 70 MB, so only where a language is asked for
  return ['', code].includes(eld.detect(text).language);
}
