/** Runs CRAB on sixty pairs about rivers; the annotator treats some of them differently. */
import { join } from 'node:path';
import type { Described, Tidied } from '../../operators/crab/records.ts';
import { resolve } from '../../steps/resolve.ts';
import type { ModelRef } from '../../schemas/call.ts';
import { jsonl, stage, type Asked, type Ran } from './recipe.ts';

/** Rivers whose pairs are short, or of short words, whose replies cannot be read, that are refined in the words of a constraint, and asked about at length. */
export const odd = { short: 3, tiny: 4, unreadable: 5, blocks: 6, unrefined: 7, overlapping: 8, long: 9 } as const;
export const riverIn = (content: string): number => Number(/river (\d+)/.exec(content)?.[1]);

function responseOf(n: number): string {
  if (n === odd.short) return `River ${n} is short.`;
  if (n === odd.tiny) return 'It is so. We go to it. I am at it. '.repeat(3);
  return `River ${n} begins in the hills of the north. It runs for ${n + 300} miles through many wide valleys.${n % 2 ? '' : ' It is well-known.'}\n\nPeople sail river ${n} in summer, and they rest at its mouth. River ${n} ends in the sea!${n % 5 === 1 ? '\n' : ''}`;
}
const instructionOf = (n: number) =>
  n === odd.long
    ? `Tell me of river ${n}. ${'My aunt has lived beside it for many years and likes to hear of it. '.repeat(3)}`
    : `Tell me of river ${n}.`;
export const pairs = Array.from({ length: 60 }, (_, n) => ({
  instruction: instructionOf(n),
  response: responseOf(n),
  source: n % 3 ? 'letters' : 'lessons',
}));

export const refinedOf = (n: number) =>
  n === odd.overlapping
    ? `Begin with the source of river ${n}, then its mouth.`
    : `Tell me of river ${n} and its course, for a geography lesson at school.`;
/** What the annotator names; what the check makes of each is in its first word. */
export const said = {
  whole: (n: number) => ({
    writing_style: `Write on river ${n} as a patient teacher would.`,
    meaning: `Remove this vague claim on the nature of river ${n} entirely.`,
    avoidance: 'NULL',
    literary_devices: `Replace this comparison of river ${n} by another one.`,
    grammar: `Mumble something about river ${n} in the past tense.`,
  }),
  part: (n: number) => ({
    order: `Begin with the source of river ${n}, then its mouth.`,
    paragraphs: `Write on river ${n} as a patient teacher would do.`,
    emphasis: `Set the name of river ${n} in **bold** type.`,
    item_format: `Open every line about river ${n} by a hyphen (-).`,
    keywords: `Use the words water and bank for river ${n}.`,
    rhythm: `Keep all sentences on river ${n} short and even.`,
  }),
};
export const replaced = (n: number) => `Compare river ${n} with a road.`;

function annotatorSays(content: string): string {
  const n = riverIn(content);
  if (content.endsWith('Write only the new instruction.')) return n === odd.unrefined ? '' : `**Refined instruction:** "${refinedOf(n)}"`;
  if (content.includes('the response as a whole')) return n === odd.unreadable ? 'I see none.' : JSON.stringify(said.whole(n));
  if (content.includes('the form and the parts'))
    return n === odd.blocks
      ? `Here they are:\n\n${JSON.stringify(said.part(n))}\n\nDone.`
      : `\`\`\`json\n${JSON.stringify(said.part(n))}\n\`\`\``;
  const constraint = constraintIn(content);
  const verdict = (satisfaction: string, modified: string, validity: string) =>
    JSON.stringify({ satisfaction, explanation: 'so', modified_constraint: modified, constraint_validity: validity });
  if (constraint.startsWith('Remove')) return verdict('NO', 'Say anything.', 'NO');
  if (constraint.startsWith('Replace')) return verdict('NO', replaced(n), 'YES');
  return constraint.startsWith('Mumble') ? '{"satisfaction": "NO",' : verdict('YES', '', 'NO');
}
export const isCheck = ({ content }: Asked): boolean => content.startsWith('Does a response meet a constraint?');
export const constraintIn = (content: string): string => /.*\nConstraint: (.*)\nResponse:/s.exec(content)![1]!;

/** Answers of all runs. */
export const made = await stage(
  'crab',
  { reply: (role, _model, content) => (role === 'annotator' ? annotatorSays(content) : `Of ${content}`) },
  {
    'pairs.jsonl': jsonl(pairs),
    'general.jsonl': jsonl(
      Array.from({ length: 20 }, (_, n) => ({
        messages: [
          { role: 'user', content: `Hello ${n}` },
          { role: 'assistant', content: 'Hello!' },
        ],
        id: n,
      })),
    ),
    'preferences.jsonl': jsonl([{ prompt: [{ role: 'user', content: 'Why?' }], chosen: 'So.', rejected: 'No.' }]),
    'base/': '{"a": 1}',
    'annotator/': '{"b": 1}',
  },
);
const source = (name: string) => ({ source: 'std.table', params: { path: `${name}.jsonl` }, folder: made.folder });
/** Like the file of a user, with defaults for so few pairs. */
export const run = (parameters: object = {}, data: readonly string[] = ['pairs']) =>
  made.run({
    parameters: {
      minimum: 1,
      judgeCheck: null,
      ...parameters,
      seeds: { minWords: 20, bypass: 0, ...(parameters as { seeds?: object }).seeds },
    },
    data: Object.fromEntries(data.map((name) => [name, source(name)])),
    models: { base: { path: join(made.folder, 'base') }, annotator: { path: join(made.folder, 'annotator') } },
  });
export const ran = await run();

export const records = async <T>(of: Ran, path: string) => (await made.rows<T>(of.step(path).data)).map(({ value }) => value);
/** The result of a reducer with several datasets. */
export const part = async <T>(of: Ran, name: 'forward' | 'reverse') =>
  (await made.rows<T>((of.step('compose').result as unknown as Record<string, unknown>)[name])).map(({ value }) => value);
export const digest = (of: Ran, path: string) => of.step(path).model.digest;
export const inputs = (of: Ran, path: string) =>
  of.step(path).call.inputs as unknown as { from: ModelRef; objective: string; with: Record<string, ModelRef> };
export const dropped = async (of: Ran, path: string) => {
  const { services, context } = made.bench;
  const { stepKey } = await resolve(of.step(path).call, context, await services.registry([]));
  const { droppedRecords } = (await services.store.output(stepKey))!;
  const all = droppedRecords ? await made.rows<{ reason: string; evidence: string; value: { response: string } }>(droppedRecords) : [];
  return all.map(({ value }) => value);
};
export const described = await records<Tidied>(ran, 'describe');
export const of = (river: number) => described.find(({ instruction }) => riverIn(instruction) === river)!;
export const typesOf = ({ constraints }: Pick<Described, 'constraints'>) => constraints.map(({ type }) => type);
