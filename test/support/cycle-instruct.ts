/** Runs Cycle-Instruct on 14 documents of questions and statements, with rule-based models. */
import { join } from 'node:path';
import type { Answer, Pair, Question } from '../../operators/cycle-instruct/records.ts';
import { isRef, type DatasetRef, type ModelRef, type Result } from '../../schemas/call.ts';
import { jsonl, lot, stage, type Ran } from './recipe.ts';

export const ROUNDS = 2;
export const asked = Array.from({ length: 30 }, (_, n) => `What is thing ${n}${n % 2 ? '?' : '？'}`);
export const told = Array.from({ length: 40 }, (_, n) => `Thing number ${n} is a stone.`);
/** Two or three passages a document, some too short. */
export const documents = Array.from({ length: 14 }, (_, n) => ({
  text: [...asked.slice(n * 3, n * 3 + 3), ...told.slice(n * 3, n * 3 + 3), 'short'].join('\n\n'),
}));
export const pairs: readonly Pair[] = Array.from({ length: 50 }, (_, n) => ({
  instruction: `Instruction ${n}`,
  response: `Response ${n}`,
}));

export const made = await stage(
  'cycle-instruct',
  {
    reply: (role, model, content) => {
      if (role === 'rewriter')
        return /question, clear/.test(content) ? `Clean: ${content.slice(6, 25)}?` : `Clean: ${content.slice(6, 25)}.`;
      return content.includes('thing 7') ? ' ' : `${role} ${lot(model + content, 1000)} says.`;
    },
    place: ([first = '', second = '']) => ({ cluster: lot(first, 2), distance: lot(first + second, 1000) / 1000, pick: null }),
  },
  {
    'documents.jsonl': jsonl(documents),
    'pairs.jsonl': jsonl(pairs),
    'base/': '{}',
    'rewriter/': '{"a": 1}',
    'encoder/': '{"b": 1}',
  },
);
export const source = (path: string) => ({ source: 'std.table', params: { path }, folder: made.folder });
export const run = (
  parameters: object = {},
  data: Record<string, ReturnType<typeof source>> = { documents: source('documents.jsonl') },
  models: readonly string[] = ['base'],
) =>
  made.run({
    parameters: { rounds: ROUNDS, minimum: 1, judgeCheck: null, ...parameters },
    data,
    models: Object.fromEntries(models.map((name) => [name, { path: join(made.folder, name) }])),
  });
export const ran = await run();

interface Inputs {
  readonly from: ModelRef;
  readonly over: DatasetRef;
  readonly inputs: Readonly<Record<string, ModelRef>>;
  readonly with: Readonly<Record<string, ModelRef>>;
  readonly params: Readonly<Record<string, unknown>>;
}
export const inputs = (of: Ran, path: string) => of.step(path).call.inputs as unknown as Inputs;
export const digest = (of: Ran, path: string) => of.step(path).model.digest;
export const paths = (of: Ran) => of.performed.map(({ call }) => call.path);
export const sides = async (of: Ran, path = 'byQuestionMark') => {
  const result = of.step(path).result as unknown as Record<'questions' | 'answers', DatasetRef>;
  const [questions, answers] = [await made.rows<Question>(result.questions), await made.rows<Answer>(result.answers)];
  return { questions: questions.map(({ value }) => value.question), answers: answers.map(({ value }) => value.answer) };
};
export const outputs = (result: Result): string[] => (isRef(result) ? [result.digest] : Object.values(result).map((ref) => ref.digest));
export const rounds = Array.from({ length: ROUNDS }, (_, n) => n + 1);
