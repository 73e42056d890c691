/** Trainings by a command of the user: what it is given, and what is taken from it. */
import { execFile } from 'node:child_process';
import { copyFile, link, mkdir, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { BackspinError } from '../schemas/errors.ts';
import type { TrainingCommand } from '../schemas/config.ts';
import type { TrainSpec } from '../schemas/trainer.ts';
import { neededEnvironment } from './environment.ts';

/** What a `{name}` in the command or in its configuration file stands for. */
const values = (spec: TrainSpec): Readonly<Record<string, string>> => ({
  data: spec.data,
  model: spec.from!,
  base: spec.base ?? spec.from!,
  output: outputOf(spec),
  run: spec.run,
  events: join(spec.run, 'events.jsonl'),
  seed: `${spec.seed}`,
  steps: `${spec.steps}`,
  batch: `${spec.batch}`,
  maxTokens: `${spec.maxTokens}`,
  learningRate: `${spec.learningRate.from}`,
});
const NAMES = new Set([
  'config',
  'data',
  'model',
  'base',
  'output',
  'run',
  'events',
  'seed',
  'steps',
  'batch',
  'maxTokens',
  'learningRate',
]);

/** The folder that the command leaves its model or adapter in. */
const outputOf = ({ run }: Pick<TrainSpec, 'run'>): string => join(run, 'output');

/** Names in braces that stand for nothing. */
export const unknownPlaceholders = (run: readonly string[]): string[] =>
  run.flatMap((argument) => [...argument.matchAll(/\{(\w+)\}/g)].map(([, name]) => name!)).filter((name) => !NAMES.has(name));
export const placeholders = (): string => [...NAMES].map((name) => `{${name}}`).join(', ');

/** First line that the program prints for `--version`. Throws `ConfigError`. */
export async function commandVersion(program: string): Promise<string> {
  try {
    const { stdout, stderr } = await promisify(execFile)(program, ['--version'], { timeout: 60_000, env: neededEnvironment() });
    const line = (stdout.trim() || stderr.trim()).split('\n')[0]!;
    if (line) return line;
    throw new Error('it prints nothing');
  } catch (error) {
    throw new BackspinError('ConfigError', `\`${program} --version\` gives no version (${(error as Error).message.split('\n')[0]}).`);
  }
}

/** Writes the configuration file and returns the command line. Without a file of the user the configuration is the spec as JSON. */
export async function commandLine({ run, config }: TrainingCommand, spec: TrainSpec): Promise<string[]> {
  const file = join(spec.run, config ? `config${/\.\w+$/.exec(config.path)?.[0] ?? ''}` : 'train.json');
  const named: Readonly<Record<string, string>> = { ...values(spec), config: file };
  const filled = (text: string) =>
    text.replaceAll(/\{(\w+)\}/g, (whole, name: string) => (Object.hasOwn(named, name) ? named[name]! : whole));
  await writeFile(file, config ? filled(config.text) : JSON.stringify({ ...spec, output: outputOf(spec) }));
  await mkdir(outputOf(spec), { recursive: true });
  return run.map(filled);
}

const TOKENIZER =
  'tokenizer.json tokenizer_config.json chat_template.jinja special_tokens_map.json added_tokens.json vocab.json merges.txt tokenizer.model'.split(
    ' ',
  );
const isOfModel = (name: string): boolean =>
  /\.safetensors(\.index\.json)?$/.test(name) ||
  ['config.json', 'generation_config.json', 'adapter_config.json', ...TOKENIZER].includes(name);

/** Makes the command's output the model of the run: weights, configuration and tokenizer, of which it takes missing files from the model that
 *  the training began with. Leaves checkpoints and logs. Throws `ConfigError` if there is no model. */
export async function takeOutput(spec: TrainSpec): Promise<void> {
  const output = outputOf(spec);
  const names = (await readdir(output, { withFileTypes: true })).flatMap((entry) =>
    entry.isFile() && isOfModel(entry.name) ? [entry.name] : [],
  );
  const config = names.find((name) => name === 'adapter_config.json' || name === 'config.json');
  if (!config || !names.some((name) => name.endsWith('.safetensors')))
    throw new BackspinError(
      'ConfigError',
      `The training command ended, and ${output} holds no model: it must leave config.json or adapter_config.json there, with weights as .safetensors.`,
    );
  const partial = join(spec.run, 'model.partial');
  await rm(partial, { recursive: true, force: true });
  await mkdir(partial);
  for (const name of names) await link(join(output, name), join(partial, name));
  if (!names.some((name) => TOKENIZER.includes(name))) {
    for (const name of await readdir(spec.base ?? spec.from!))
      if (TOKENIZER.includes(name)) await copyFile(join(spec.base ?? spec.from!, name), join(partial, name));
  }
  await rename(partial, join(spec.run, 'model'));
}
