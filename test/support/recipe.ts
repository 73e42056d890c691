/** Runs a recipe on the in-memory `Run`: real store, operators and reducers, rule-based models, trainings that only record their input. */
import { mkdtemp, mkdir, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import type { StepCall, DatasetRef, ModelRef } from '../../schemas/call.ts';
import type { Chat, MaybePromise, Message, Prompt, Rec } from '../../recipe/index.ts';
import type { TemplateDef } from '../../recipe/define.ts';
import { runInMemory, type Memory, type Performed } from '../../recipe/memory.ts';
import { sha256 } from '../../schemas/canonical.ts';
import type { BoundConfig } from '../../schemas/config.ts';
import { recipeSchemas } from '../../schemas/recipes/index.ts';
import { recipes } from '../../workflows/recipes/index.ts';
import { bench, type Bench, type Played } from './memory.ts';

export interface Asked {
  readonly role: string;
  readonly model: string;
  readonly content: string;
  readonly reply: string;
}
export interface Given {
  readonly parameters: object;
  readonly data: BoundConfig['data'];
  readonly models: BoundConfig['models'];
  readonly evaluation?: BoundConfig['evaluation'];
  /** Runs before each step. */
  readonly before?: (call: StepCall) => Promise<void>;
}
export interface Ran extends Memory {
  readonly given: Given;
  /** Requests and trainings of this run that no earlier run had. */
  readonly asked: readonly Asked[];
  readonly trainings: Bench['trainings'];
  /** Returns the step at this path. */
  step(path: string): Performed & { readonly model: ModelRef; readonly data: DatasetRef };
}
export interface Stage {
  readonly bench: Bench;
  /** The folder of an experiment's data and models. */
  readonly folder: string;
  /** One at a time. */
  run(given: Given): Promise<Ran>;
  rows<T>(ref: unknown): Promise<Rec<T>[]>;
  /** The rows that a model was trained on, as its trainer read them, each with its record. */
  trained<T>(ran: Ran, path: string): Promise<{ readonly record: T; readonly chat: Chat }[]>;
}
interface Answering {
  reply(role: string, model: string, content: string, seed: number): MaybePromise<string>;
  readonly score?: Played['score'];
  readonly place?: Played['place'];
  readonly weigh?: Played['weigh'];
  readonly tag?: Played['tag'];
}

/** `files`: texts by path; a path that ends in a slash is the folder of a model. */
export async function stage(
  name: string,
  { reply, score, place, weigh, tag }: Answering,
  files: Readonly<Record<string, string>>,
): Promise<Stage> {
  const folder = await mkdtemp(join(tmpdir(), `backspin-${name}-`));
  for (const [path, text] of Object.entries(files)) {
    const file = join(folder, path, path.endsWith('/') ? 'config.json' : '');
    await mkdir(dirname(file), { recursive: true });
    await writeFile(file, text);
  }
  const asked: Asked[] = [];
  const made = await bench({
    reply({ role, model, prompt, seed }) {
      const content = contentOf(prompt);
      const said = reply(role, model.digest, content, seed);
      return record(asked, { role, model: model.digest, content }, said);
    },
    ...(score && { score }),
    ...(place && { place }),
    ...(weigh && { weigh }),
    ...(tag && { tag }),
  });
  const rows = async <T>(ref: unknown) => {
    const records: Rec<T>[] = [];
    for await (const record of made.services.store.read(ref as DatasetRef)) records.push(record as Rec<T>);
    return records;
  };
  return {
    bench: made,
    folder,
    rows,
    async run({ parameters, before = async () => {}, ...given }) {
      const config = { evaluation: {}, ...given, parameters: recipeSchemas[name]!.parameters.parse(parameters) as object };
      const known = [asked.length, made.trainings.length] as const;
      const memory = await runInMemory(recipes[name]!, config, async (call) => {
        await before(call);
        return made.perform(call);
      });
      return {
        ...memory,
        given: { parameters, ...given },
        asked: asked.slice(known[0]),
        trainings: made.trainings.slice(known[1]),
        step(path) {
          const found = memory.performed.find(({ call }) => call.path === path);
          if (!found) throw new Error(`no step ${path}, only ${memory.performed.map(({ call }) => call.path).join(', ')}`);
          return { ...found, model: found.result as ModelRef, data: found.result as DatasetRef };
        },
      };
    },
    async trained<T>(ran: Ran, path: string) {
      const { data, template } = ran.step(path).call.inputs as { data: DatasetRef; template: string };
      const { render } = (await made.services.registry([])).template(template) as unknown as TemplateDef<T, Chat>;
      return (await rows<T>(data)).map(({ value }) => ({ record: value, chat: render(value) }));
    },
  };
}

function record(asked: Asked[], request: Omit<Asked, 'reply'>, reply: MaybePromise<string>): MaybePromise<string> {
  if (typeof reply !== 'string') return reply.then((said) => record(asked, request, said));
  asked.push({ ...request, reply });
  return reply;
}

/** Throws a die with `sides` sides, decided by the text. */
export const lot = (text: string, sides: number): number => Number.parseInt(sha256(text).slice(0, 8), 16) % sides;
export const jsonl = (rows: readonly object[]): string => rows.map((row) => `${JSON.stringify(row)}\n`).join('');
const contentOf = (prompt: Prompt | { readonly messages: readonly Message[] }): string =>
  'messages' in prompt
    ? [...prompt.messages.map(({ content }) => content), ...('prefill' in prompt ? [prompt.prefill] : [])].join('\n')
    : 'text' in prompt
      ? prompt.text
      : '';
