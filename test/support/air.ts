/** Runs AIR on two dozen documents about rivers; the guidance model treats some of them differently. */
import type { Refined } from '../../operators/air/records.ts';
import type { DatasetRef, ModelRef } from '../../schemas/call.ts';
import { constraintTypes } from '../../schemas/recipes/air-types.ts';
import { join } from 'node:path';
import { jsonl, lot, stage, type Asked, type Ran } from './recipe.ts';

export const names = constraintTypes.map(({ name }) => name);
export const documents = Array.from({ length: 24 }, (_, n) => ({
  text: `Document ${n} tells of river ${n}. ${'It runs through many a valley to the sea. '.repeat(8)}`,
}));

/** The judge's behaviour for special rivers. */
export const odd = { none: 8, unreadable: 9, duplicate: 10, misspelt: 11, unchecked: 14, silent: 13 } as const;
export const riverIn = (content: string) => Number(/river (\d+)/.exec(content)![1]);
export const typesIn = (content: string) => [...content.matchAll(/^- (.+?): the answer /gm)].map(([, name]) => name!);
export const listedIn = (content: string) => [...content.matchAll(/^- (.+)$/gm)].map(([, item]) => item!);

function guidanceSays(content: string): string {
  const river = riverIn(content);
  if (content.includes('Write one short instruction'))
    return river === 4 ? 'Hm' : `Here is an instruction:\n"Describe river ${river} briefly."`;
  if (content.startsWith('Score an instruction'))
    return river === 5
      ? 'Score: 7/5'
      : river === 7
        ? 'It is good.'
        : `It would be a 1/5 if vague.\nScore: ${river % 6 === 0 ? 3 : 4 + (river % 2)}/5`;
  if (content.includes('Rewrite the text')) return `The polished text of river ${river}.`;
  if (content.includes('Output1 is the better')) return judged(river, typesIn(content));
  if (content.startsWith('Earlier constraints'))
    return `**Reasoning**: so.\n**Answer**: ${river === odd.duplicate ? 'Yes' : 'No, it is new'}`;
  if (content.includes('how well') || content.includes('How well'))
    return river === odd.unchecked ? 'Very well.' : `${listedIn(content)[0]}\t${lot(content, 4)}`;
  if (content.endsWith('**Instruction**:')) {
    const last = content.slice(content.lastIndexOf('Instruction: '));
    return ` ${last.split('\n')[0]!.slice(13)} ${listedIn(last).join(' ')}\n\n**Note**: merged`;
  }
  return `The guidance responds to: ${content}`;
}
function judged(river: number, types: readonly string[]): string {
  const said = (type: string, constraint: string) =>
    `**Analysis**: they differ\n**Type**: ${type}\n**Constraint**: ${constraint}\n\nNote: done`;
  const used = names.length - types.length;
  if (river === odd.none) return said(types[0]!, 'None');
  if (river === odd.unreadable && used === 2) return said(types[0]!, 'Be more like Output1 and its words.');
  const type = river === odd.misspelt ? types[0]!.replace('a', 'aa') : types[0]!;
  return said(`${type[0]!.toUpperCase()}${type.slice(1)}`, `Heed the ${types[0]} for river ${river} well.`);
}
/** All requests so far: role and question, in order. */
export const answers: string[] = [];
/** Whether the process crashes at the next request. */
export const machine = { dies: () => false };
export const made = await stage(
  'air',
  {
    reply(role, _model, content) {
      if (machine.dies()) throw new Error('the machine is gone');
      answers.push(`${role}: ${content}`);
      if (role !== 'student') return guidanceSays(content);
      const last = content.split('\n\n').at(-1)!;
      return riverIn(content) === odd.silent && content.includes('\n\n') ? 'No.' : `The student says of it: ${last}`;
    },
    place: ([text = '']) => ({ cluster: 0, distance: 0, pick: riverIn(text) < 20 ? riverIn(text) : null }),
  },
  {
    'documents.jsonl': jsonl(documents),
    'lessons.jsonl': jsonl([{ prompt: 'Score it.', reply: 'Score: 5/5' }]),
    'guidance/': '{"a": 1}',
    'student/': '{"b": 1}',
    'encoder/': '{"c": 1}',
  },
);
const source = (path: string) => ({ source: 'std.table', params: { path }, folder: made.folder });
export const run = (parameters: object = {}, lessons = false, models: readonly string[] = ['guidance', 'student']) =>
  made.run({
    parameters: { minimum: 1, judgeCheck: null, pick: null, ...parameters },
    data: { documents: source('documents.jsonl'), ...(lessons && { lessons: source('lessons.jsonl') }) },
    models: Object.fromEntries(models.map((name) => [name, { path: join(made.folder, name) }])),
  });
export const ran = await run();

interface Inputs {
  readonly from: ModelRef;
  readonly with: Readonly<Record<string, ModelRef>>;
  readonly inputs: Readonly<Record<string, ModelRef>>;
  readonly over: DatasetRef;
}
export const inputs = (of: Ran, path: string) => of.step(path).call.inputs as unknown as Inputs;
export const records = async <T>(of: Ran, path: string) => (await made.rows<T>(of.step(path).data)).map(({ value }) => value);
export const digest = (of: Ran, path: string) => of.step(path).model.digest;
export const asking = (kind: 'judge' | 'compare' | 'check' | 'merge', of = ran): Asked[] =>
  of.asked.filter(({ content }) =>
    kind === 'judge'
      ? content.includes('Output1 is the better')
      : kind === 'compare'
        ? content.startsWith('Earlier constraints')
        : kind === 'check'
          ? content.includes('How well')
          : content.endsWith('**Instruction**:'),
  );
export const ofRiver = (asked: readonly Asked[], river: number) => asked.filter(({ content }) => riverIn(content) === river);
export const refined = await records<Refined>(ran, 'refine');
export const of = (river: number) => refined.find(({ instruction }) => riverIn(instruction) === river)!;
export const usual = refined.filter(({ instruction }) => !Object.values<number>(odd).includes(riverIn(instruction)));
