/** Lays out instructions with constraints, and requests for constraints. The wording is ours; the forms are those of CRAB's code: plain
 *  layouts, framed ones, such for long instructions, and list marks (2410.24175). */

type Random = () => number;
export const pick = <T>(from: readonly T[], random: Random): T => from[Math.floor(random() * from.length)]!;

/** Puts an instruction and a list of constraints together. */
export type Layout = (instruction: string, list: string) => string;
/** Puts constraints into a list. */
export type Mark = (constraints: readonly string[]) => string;

const lines =
  (before: (n: number) => string): Mark =>
  (items) =>
    items.map((item, n) => `${before(n + 1)}${item}`).join('\n');
const plainMarks: readonly Mark[] = ['', '- ', '# ', '* ', '> '].map((mark) => lines(() => mark));
const numbered = lines((n) => `${n}. `);
const inline: Mark = (items) => items.join(' ');
const allMarks: readonly Mark[] = [...plainMarks, numbered, inline];

const plain: readonly Layout[] = [
  (instruction, list) => `${instruction}\n\n${list}`,
  (instruction, list) => `${instruction}\n\nMeet these constraints in your answer:\n${list}`,
];
const framed: readonly Layout[] = [
  (instruction, list) =>
    `Follow the instruction below and all constraints after it.\n\nInstruction: ${instruction}\n\nConstraints:\n${list}`,
  (instruction, list) => `Here is a task, and what to observe when you do it.\n\nTask:\n${instruction}\n\nTo observe:\n${list}`,
  (instruction, list) => `**Instruction**\n${instruction}\n\n**Constraints**\n${list}\n\nAn answer that breaks one of them does not count.`,
  (instruction, list) => `1. What to do: ${instruction}\n2. How to do it:\n${list}`,
  (instruction, list) => `Hello! Could you help me with this?\n\n${instruction}\n\nA few things matter to me:\n${list}\n\nThanks!`,
];
/** For instructions that bring a long text. */
const long: readonly Layout[] = [
  (instruction, list) => `${list}\n\n${instruction}`,
  (instruction, list) => `${list}\n\nThe task:\n${instruction}`,
  (instruction, list) => `${instruction}\n\nThe following constraints hold for your answer.\n${list}`,
];

/** How the turns of one conversation are laid out. */
export interface Style {
  readonly layout: Layout;
  readonly longLayout: Layout;
  readonly mark: Mark;
}
export function drawStyle(plainShare: number, random: Random): Style {
  const isPlain = random() < plainShare;
  return {
    layout: pick(isPlain ? plain : framed, random),
    longLayout: pick(long, random),
    mark: pick(isPlain ? plainMarks : allMarks, random),
  };
}

// ───────────────────────────────────────── requests for constraints ─────────────────────────────────────────

const overviews = [
  'A response and a brief instruction for it are given below. Make the instruction say more of what the response is like.',
  'The instruction below leaves open much of what the response shows. Say it.',
  'Compare the response with its instruction, and state what a writer would have to know to write just this response.',
];
const refinements = [
  'Rewrite the instruction so that it says under which circumstances it holds, and what exactly it is about.',
  'Make the instruction more precise: its subject, its object and its conditions.',
];
const additions = [
  'Add constraints that the response meets:',
  'State constraints on the response, one for each of these:',
  'Which constraints does the response keep? Name them for:',
];
const otherTypes = ['anything else that matters', 'one more thing of your choice'];

export interface Wanted {
  readonly overview: boolean;
  readonly refined: boolean;
  /** What each constraint says; none: no constraints are asked for. */
  readonly types: readonly string[];
  readonly others: boolean;
}
/** What a model is to write: the request, and how its answer looks. */
export interface Request {
  readonly ask: (instruction: string, response: string) => string;
  readonly answer: (refined: string | null, constraints: readonly string[]) => string;
}

type Format = readonly [demand: string, write: Request['answer']];
const headed = (demand: string, head: (name: string) => string, mark: Mark): Format => [
  demand,
  (refined, constraints) =>
    [
      ...(refined === null ? [] : [`${head('Refined instruction')}\n${refined}`]),
      ...(constraints.length === 0 ? [] : [`${head('Constraints')}\n${mark(constraints)}`]),
    ].join('\n\n'),
];
const formats: readonly Format[] = [
  headed(
    'Write headings in square brackets: [Refined instruction], [Constraints]. Number the constraints.',
    (name) => `[${name}]`,
    numbered,
  ),
  headed(
    'Write bold headings: **Refined instruction**, **Constraints**. Begin each constraint with a hyphen.',
    (name) => `**${name}**`,
    plainMarks[1]!,
  ),
  headed(
    'Write headings in double angle brackets: <<Refined instruction>>, <<Constraints>>. Begin each constraint with #.',
    (name) => `<<${name}>>`,
    plainMarks[2]!,
  ),
  headed(
    'Write plain headings with a colon (Refined instruction:, Constraints:), and each constraint on a line of its own.',
    (name) => `${name}:`,
    plainMarks[0]!,
  ),
  [
    'Write a JSON object with the keys "refined_instruction" (a string) and "constraints" (a list of strings), of which you leave out what was not asked for.',
    (refined, constraints) =>
      JSON.stringify(
        { ...(refined !== null && { refined_instruction: refined }), ...(constraints.length > 0 && { constraints }) },
        null,
        2,
      ),
  ],
];
const inputs: readonly ((instruction: string, response: string) => string)[] = [
  (instruction, response) => `Response:\n${response}\n\nInstruction:\n${instruction}`,
  (instruction, response) => `Instruction: ${instruction}\n\nResponse: ${response}`,
  (instruction, response) => `### Response\n${response}\n\n### Brief instruction\n${instruction}`,
  (instruction, response) => `"""\n${response}\n"""\n\nThis answers: ${instruction}`,
];

/** Draws the wording of a request for constraints. */
export function drawRequest({ overview, refined, types, others }: Wanted, random: Random): Request {
  const mark = pick([plainMarks[1]!, numbered], random);
  const asked = [...types.map((about) => `what ${about}`), ...(others ? [pick(otherTypes, random)] : [])];
  const [demand, answer] = pick(formats, random);
  const parts = [
    ...(overview ? [pick(overviews, random)] : []),
    ...(refined ? [pick(refinements, random)] : []),
    ...(asked.length > 0 ? [`${pick(additions, random)}\n${mark(asked)}`] : []),
    demand,
  ];
  const input = pick(inputs, random);
  return { ask: (instruction, response) => [...parts, input(instruction, response)].join('\n\n'), answer };
}
