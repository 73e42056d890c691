/** Defines few-shot examples of merges, written for backspin: an instruction, five constraints, and the merged text for any number of
 *  them. */

export interface MergeShot {
  readonly instruction: string;
  readonly constraints: readonly string[];
  /** The merged instruction with the first `constraints` of them. */
  readonly merged: (constraints: number) => string;
}

const shot = (instruction: string, opening: string, ...pairs: readonly (readonly [constraint: string, words: string])[]): MergeShot => ({
  instruction,
  constraints: pairs.map(([constraint]) => constraint),
  merged: (constraints) =>
    `${opening}${pairs
      .slice(0, constraints)
      .map(([, words]) => words)
      .join('')}.`,
});

export const mergeShots: readonly MergeShot[] = [
  shot(
    'Explain how bread rises.',
    'Explain how bread rises',
    ['Write it for children of about nine years.', ' to children of about nine years'],
    ['Use at most two hundred words.', ', in at most two hundred words'],
    ['Compare the dough with something from a playground.', ', with a comparison to something from a playground'],
    ['Do not use the word chemistry.', ' and without the word chemistry'],
    ['End with a question to the reader.', ', and end with a question to them'],
  ),
  shot(
    'Describe a walk through a harbour.',
    'Describe a walk through a harbour',
    ['Let it take place in the early morning.', ' in the early morning'],
    ['Write in the first person.', ', in the first person'],
    ['Divide it into three short paragraphs.', ', in three short paragraphs'],
    ['Mention the smell of tar.', ' that mention the smell of tar'],
    ['Let the walker feel a little homesick.', ' and let one feel that the walker is a little homesick'],
  ),
  shot(
    'Give advice on buying a used bicycle.',
    'Give advice on buying a used bicycle',
    ['Assume that the buyer has very little money.', ' for very little money'],
    ['Number the steps.', ' as numbered steps'],
    ['Say for each step what tools are needed.', ', each with the tools that it needs'],
    ['Do not name any brands.', ', without naming any brands'],
    ['Keep a friendly tone.', ', in a friendly tone'],
  ),
  shot(
    'Summarise the life cycle of a frog.',
    'Summarise the life cycle of a frog',
    ['Put it in a table with one row for each stage.', ' in a table with one row for each stage'],
    ['Say how many weeks each stage lasts.', ' and a column for how many weeks it lasts'],
    ['Give the Latin name of the species.', ', under the Latin name of the species'],
    ['Add a note on what tadpoles eat.', ', followed by a note on what tadpoles eat'],
    ['Use simple words only.', ', all in simple words'],
  ),
  shot(
    'Write to a neighbour about noise at night.',
    'Write to a neighbour about noise at night',
    ['Use the form of a letter.', ' in the form of a letter'],
    ['Stay polite throughout.', ' that stays polite throughout'],
    ['Mention the rules of the house.', ', mentions the rules of the house'],
    ['Offer to talk about it over coffee.', ', offers to talk about it over coffee'],
    ['Use fewer than ten sentences.', ' and has fewer than ten sentences'],
  ),
];
