/** Reads the requests of benchmark tasks of EleutherAI's harness (lm_eval). */
import { z } from 'zod';
import { source } from '../recipe/index.ts';
import { objectsOf, type Values } from './lines.ts';

const params = z.strictObject({
  tasks: z.array(z.string().min(1)).min(1).describe('Names of tasks or groups, such as arc_easy.'),
  include: z.string().nullable().default(null).describe('A folder with tasks of your own. Data that they name beside them are found.'),
  fewshot: z.int().min(0).nullable().default(null).describe('Examples before each question. null: as the task says.'),
  limit: z.int().min(1).nullable().default(null).describe('The first documents of each task. null: all.'),
  chat: z.boolean().default(false).describe("Asks by messages and the model's chat template, each example as a turn."),
  system: z.string().nullable().default(null).describe('A system turn, or a text before the first example.'),
});

/** Yields one record about the tasks, then one for each document: its task, and its requests. */
export const lmEval = source<Values, z.infer<typeof params>>({
  version: 1,
  output: z.record(z.string(), z.unknown()),
  params,
  files: ({ include }) => (include === null ? [] : [include]),
  harness: ({ include, ...tasks }) => ({ include, tasks }),
  async *rows(_, [requests]) {
    for await (const entry of objectsOf(requests!)) if ('value' in entry) yield entry.value;
  },
});
