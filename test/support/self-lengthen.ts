/** Runs Self-Lengthen on a few seeds: a writer that makes up towns, a generator of short texts, and an extender that lengthens most. */
import { join } from 'node:path';
import type { DatasetRef, ModelRef } from '../../schemas/call.ts';
import { jsonl, stage, type Ran } from './recipe.ts';

export const seeds = Array.from({ length: 6 }, (_, n) => ({ instruction: `Write a long history of the old town ${n}.` }));

/** Paragraphs of twenty words, none of which occurs twice. */
export const prose = (key: string, paragraphs: number): string =>
  Array.from({ length: paragraphs }, (_, p) => `${Array.from({ length: 20 }, (_, w) => `${key}p${p}w${w}`).join(' ')}.`).join('\n\n');
const paragraphsIn = (content: string) =>
  content.slice(content.indexOf('\nOutline:\n')).split('\n\nThe outline is')[0]!.split('\n\n').length;

export const isExtension = (content: string) => content.includes('\nOutline:\n');
/** A request that opens its reply. */
export const isPrefilled = (content: string) => !content.endsWith('Write only the text.');

const dimensions = ['Relevance', 'Coherence', 'Accuracy', 'Consistency', 'Clarity', 'Creativity', 'Engagement'];
function replyOf(role: string, content: string, seed: number): string {
  if (content.startsWith('Make up several'))
    return seed % 5 === 0 ? ' Hm.' : ` Write a long history of the new town ${seed}.\n4. Write more.`;
  if (content.includes('Answer only yes or no')) return seed % 4 === 0 ? 'No.' : seed % 9 === 0 ? 'Perhaps.' : 'Yes';
  const [, instruction, phrase] =
    /^Instruction:\n(.+)\n\nLength: (.+)$/m.exec(content) ?? /^Instruction:\n(.+)\n\nLength: (.+)/.exec(content) ?? [];
  if (phrase) return seed % 6 === 0 ? 'Write something.' : `Here is the instruction: ${instruction} It has ${phrase}.`;
  if (role === 'judge') return `{"Analysis": "It is so.", ${dimensions.map((name) => `"${name}": 7`).join(', ')}}`;
  if (role === 'generator' || role === 'model') return `${prose(`g${seed}`, 2 + (seed % 6))}${seed % 7 === 0 ? ' and' : ''}`;
  if (!isPrefilled(content)) return prose(`f${seed}`, 3 + (seed % 3));
  return `${seed % 5 === 0 ? '' : '\n\n'}${prose(`l${seed}`, 1 + paragraphsIn(content))}${seed % 6 === 0 ? ' and' : ''}`;
}

/** Whether the process crashes at the next request, and which requests get no reply. */
export const machine = { dies: () => false, mute: (_content: string) => false };
/** Requests that were answered, each with its seed. */
export const answers: string[] = [];
export const made = await stage(
  'self-lengthen',
  {
    reply(role, _model, content, seed) {
      if (machine.dies()) throw new Error('the machine is gone');
      if (machine.mute(content)) return new Promise(() => {});
      answers.push(`${seed} ${role}: ${content}`);
      return replyOf(role, content, seed);
    },
  },
  { 'seeds.jsonl': jsonl(seeds), 'base/': '{"a": 1}' },
);

/** No quorum, because speed would decide what a run holds. */
export const small = {
  rounds: 3,
  perRound: 30,
  collect: 20,
  attempts: { propose: 3, write: 2, extend: 3, demand: 2 },
  quorum: 1,
  keepWords: { min: 60, max: 240 },
  minimum: 1,
};
export const run = (parameters: object = {}, evaluation: object = {}) =>
  made.run({
    parameters: { ...small, ...parameters },
    data: { seeds: { source: 'std.table', params: { path: 'seeds.jsonl' }, folder: made.folder } },
    models: { base: { path: join(made.folder, 'base') } },
    evaluation: evaluation as never,
  });
export const ran = await run();

export const rowsAt = <T>(of: Ran, path: string) => made.rows<T>(of.step(path).data);
export const records = async <T>(of: Ran, path: string) => (await rowsAt<T>(of, path)).map(({ value }) => value);
interface Inputs {
  readonly with: Readonly<Record<string, ModelRef>>;
  readonly over: DatasetRef;
  readonly from: ModelRef;
  readonly data: DatasetRef;
  readonly quorum?: number;
  readonly inputs: { readonly of: DatasetRef };
}
export const inputs = (of: Ran, path: string) => of.step(path).call.inputs as unknown as Inputs;
export const digest = (of: Ran, path: string) => of.step(path).model.digest;
