/** Humpback as in the paper, but on 20 seed pairs and 61 segments, with models that answer by rule. */
import { mkdtemp, mkdir, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Call, DatasetRef, ModelRef } from '../../recipe/call.ts';
import type { Prompt, Rec } from '../../recipe/index.ts';
import { runInMemory, type Memory, type Performed } from '../../recipe/memory.ts';
import type { Bound } from '../../schemas/config.ts';
import { recipeSchemas } from '../../schemas/recipes/index.ts';
import { sha256 } from '../../store/canonical.ts';
import { recipes } from '../../workflows/recipes/index.ts';
import { bench, type Bench } from './memory.ts';

export interface Asked {
  readonly role: string;
  readonly model: string;
  readonly content: string;
  readonly reply: string;
}
export interface Humpback {
  readonly bench: Bench;
  /** One at a time. */
  run(parameters?: object, given?: Given): Promise<Ran>;
  rows<T>(ref: unknown): Promise<Rec<T>[]>;
}
export interface Given {
  /** Rows of the third part. */
  readonly replay?: readonly object[];
  readonly evaluation?: Bound['evaluation'];
  /** A judge of its own. */
  readonly scorer?: boolean;
  /** Stands between the recipe and a step. */
  readonly before?: (call: Call) => Promise<void>;
}
export interface Ran extends Memory {
  /** What this run asked and trained that none before it had. */
  readonly asked: readonly Asked[];
  readonly trainings: Bench['trainings'];
  /** The step of this path. */
  step(path: string): Performed & { readonly model: ModelRef; readonly data: DatasetRef };
}

export const seedPairs = Array.from({ length: 20 }, (_, n) => ({ instruction: `Seed question ${n}?`, response: `Seed answer ${n}.` }));
export const instructions = ['What is a tide?', 'Name three rivers.'];

const lot = (text: string, sides: number) => Number.parseInt(sha256(text).slice(0, 8), 16) % sides;
const words = (name: string, count: number) => Array.from({ length: count }, (_, i) => `w${sha256(`${name} ${i}`).slice(0, 5)}`).join(' ');
const sentences = (name: string, count: number) => Array.from({ length: count }, (_, i) => `${words(`${name}/${i}`, 9)}.`).join(' ');

/** 61 good sections, the last nearly the first, between bad ones of each kind. */
const document = [
  sentences('no header at all', 15),
  ...Array.from({ length: 60 }, (_, n) => `# Section ${n}\n\n${sentences(`section ${n}`, 12 + (n % 30))}`),
  `# Section 0 again\n\n${sentences('section 0', 12)} ${words('news', 3)}.`,
  `# Too short\n\n${sentences('short', 3)}`,
  `# Too long\n\n${sentences('long', 90)}`,
  `# ALL CAPITALS\n\n${sentences('capitals', 15)}`,
  `# Newsletter\n\n${sentences('newsletter', 15)}`,
].join('\n\n');

/** A third of the judgements is no rating, or one off the scale; a third is a 5. */
const judgements = [
  'I cannot say.',
  'Score: 8',
  'Score: 3 and more',
  'Score: 1',
  'Score: 2',
  'Score: 4',
  'Fine.\nScore: 5',
  'Score: 5',
  'Not Score: 1.\nScore: 5',
];
function reply(role: string, model: string, content: string): string {
  if (role === 'model') return 'An answer.';
  if (role === 'scorer') return judgements[lot(`${model} ${content}`, judgements.length)]!;
  const kind = lot(content, 20);
  return kind === 0 ? ' ' : kind === 1 ? 'Why?' : kind === 2 ? words(content, 200) : ` What is ${sha256(content).slice(0, 8)}?\n`;
}

export async function humpback(): Promise<Humpback> {
  const folder = await mkdtemp(join(tmpdir(), 'backspin-humpback-'));
  const jsonl = (rows: readonly object[]) => rows.map((row) => `${JSON.stringify(row)}\n`).join('');
  await writeFile(join(folder, 'seed.jsonl'), jsonl(seedPairs));
  await writeFile(join(folder, 'document.md'), document);
  await mkdir(join(folder, 'base'));
  await writeFile(join(folder, 'base', 'config.json'), '{}');
  await mkdir(join(folder, 'scorer'));
  await writeFile(join(folder, 'scorer', 'config.json'), '{"another": true}');

  const asked: Asked[] = [];
  const made = await bench({
    reply({ role, model, prompt }) {
      const content = contentOf(prompt);
      const said = reply(role, model.digest, content);
      asked.push({ role, model: model.digest, content, reply: said });
      return said;
    },
    score: ({ model, continuation }) => [{ id: 0, logprob: -1 - lot(`${model.digest} ${continuation}`, 1000) / 100, entropy: null }],
  });
  return {
    bench: made,
    async rows<T>(ref: unknown) {
      const records: Rec<T>[] = [];
      for await (const record of made.services.store.read(ref as DatasetRef)) records.push(record as Rec<T>);
      return records;
    },
    async run(parameters = {}, { replay, evaluation = answering, scorer = false, before = async () => {} } = {}) {
      if (replay) await writeFile(join(folder, 'replay.jsonl'), jsonl(replay));
      const source = (source: string, path: string) => ({ source, params: { path }, folder });
      const config = {
        parameters: recipeSchemas['humpback']!.parameters.parse({ minimum: 1, ...parameters }) as object,
        data: {
          seed: source('std.jsonl', 'seed.jsonl'),
          corpus: source('std.documents', 'document.md'),
          ...(replay ? { replay: source('std.jsonl', 'replay.jsonl') } : {}),
        },
        models: { base: { path: join(folder, 'base') }, ...(scorer ? { scorer: { path: join(folder, 'scorer') } } : {}) },
        evaluation,
      };
      const known = [asked.length, made.trainings.length] as const;
      const memory = await runInMemory(recipes['humpback']!, config, async (call) => {
        await before(call);
        return made.perform(call);
      });
      return {
        ...memory,
        asked: asked.slice(known[0]),
        trainings: made.trainings.slice(known[1]),
        step(path) {
          const found = memory.performed.find(({ call }) => call.path === path);
          if (!found) throw new Error(`no step ${path}, only ${memory.performed.map(({ call }) => call.path).join(', ')}`);
          return { ...found, model: found.result as ModelRef, data: found.result as DatasetRef };
        },
      };
    },
  };
}

/** Suites that come with backspin. */
const answering: Bound['evaluation'] = {
  forward: { id: 'humpback.answers', params: { instructions } },
  curated: { id: 'humpback.pairs', params: {} },
};
const contentOf = (prompt: Prompt | { readonly messages: readonly { readonly content: string }[] }): string =>
  'messages' in prompt ? prompt.messages.map(({ content }) => content).join('\n') : 'text' in prompt ? prompt.text : '';
