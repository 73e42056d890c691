/** Asks the trainer for what it would refuse a model. It takes some seconds, so answers are kept beside the compiled sources. */
import { createHash } from 'node:crypto';
import { mkdtemp, mkdir, open, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { z } from 'zod';
import { canonicalJson, sha256 } from '../schemas/canonical.ts';
import type { CheckSpec, ModelUse } from '../schemas/trainer.ts';
import { pythonOf, trainerIdentity } from './python.ts';
import { cacheFolder } from './installation.ts';
import { runVerb } from './verb.ts';

/** A new model, or one in a folder: its small files and its safetensors files, by name, the text of the chat template that replaces its
 *  own, and a token that ends turns beside its own. */
export type CheckedModel =
  | { readonly init: NonNullable<CheckSpec['init']>; readonly small: Paths }
  | {
      readonly folder: string;
      readonly small: Paths;
      readonly weights: Paths;
      readonly chatTemplate: string | null;
      readonly endToken: string | null;
    };
type Paths = Readonly<Record<string, string>>;

const CACHE = cacheFolder('checks');
const refusal = z.string().nullable();

/** Returns a sentence for each of `uses`; null: the trainer would not refuse it. */
export async function refusalsOf(model: CheckedModel, uses: readonly ModelUse[]): Promise<readonly (string | null)[]> {
  const { check } = await trainerIdentity(pythonOf());
  const place = 'init' in model ? model.init.tokenizer : model.folder;
  const identity = { check, model: await identityOf(model) };
  const known = new Map(
    await Promise.all(
      uses.map(async (use) => {
        const file = join(CACHE, `${sha256(canonicalJson({ ...identity, use }))}.json`);
        const text = await readFile(file, 'utf8').catch(() => undefined);
        return [use, { file, refusal: text === undefined ? undefined : withPlace(refusal.parse(JSON.parse(text)), PLACE, place) }] as const;
      }),
    ),
  );
  const open = uses.filter((use) => known.get(use)!.refusal === undefined);
  const asked = open.length === 0 ? [] : await ask(model, open);
  // A folder that cannot be written to costs time alone.
  await Promise.all(open.map((use, at) => keep(known.get(use)!.file, JSON.stringify(withPlace(asked[at]!, place, PLACE))).catch(() => {})));
  return uses.map((use) => known.get(use)!.refusal ?? asked[open.indexOf(use)] ?? null);
}

async function ask(model: CheckedModel, uses: readonly ModelUse[]): Promise<readonly z.infer<typeof refusal>[]> {
  const scratch = await mkdtemp(join(tmpdir(), 'backspin-check-'));
  try {
    const to = join(scratch, 'faults.json');
    const template = 'init' in model || model.chatTemplate === null ? null : join(scratch, 'chat_template.jinja');
    if (template !== null) await writeFile(template, (model as { chatTemplate: string }).chatTemplate);
    const of =
      'init' in model
        ? { init: model.init }
        : { folder: model.folder, weights: Object.keys(model.weights), chatTemplate: template, endToken: model.endToken };
    await runVerb('check', { uses, to, ...of });
    return z.array(refusal).parse(JSON.parse(await readFile(to, 'utf8')));
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

async function keep(path: string, text: string): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  const partial = `${path}.${process.pid}`;
  await writeFile(partial, text);
  await rename(partial, path);
}

/** Stands for the folder in a kept sentence, so that equal models in other folders share it. */
const PLACE = '{folder}';
const withPlace = (sentence: string | null, from: string, to: string): string | null =>
  sentence === null ? null : sentence.replaceAll(from, to);

async function identityOf(model: CheckedModel): Promise<object> {
  const small = await digests(model.small, (path) => readFile(path));
  if ('init' in model) return { init: { ...model.init, tokenizer: null }, small };
  const { weights, chatTemplate, endToken } = model;
  const template = chatTemplate === null ? {} : { chatTemplate: sha256(chatTemplate) };
  return { small, template, endToken, weights: await digests(weights, headerOf) };
}
const digests = async (paths: Paths, read: (path: string) => Promise<Buffer>): Promise<object> =>
  Object.fromEntries(
    await Promise.all(
      Object.entries(paths).map(async ([name, path]) => [
        name,
        createHash('sha256')
          .update(await read(path))
          .digest('hex'),
      ]),
    ),
  );

/** The header of a safetensors file, which names its tensors: eight bytes with its length come before. */
async function headerOf(path: string): Promise<Buffer> {
  await using file = await open(path);
  const length = Buffer.alloc(8);
  await file.read(length, 0, 8, 0);
  const header = Buffer.alloc(Math.min(Number(length.readBigUInt64LE()), (await file.stat()).size));
  await file.read(header, 0, header.length, 8);
  return header;
}
