/** Runs recipes by the command a user types: one `up`, the experiment files of `examples/`, and beside them what those ask for. */
import { execFile } from 'node:child_process';
import { copyFileSync, cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { View } from '../../experiments/view.ts';
import { backspin, root, temporary } from '../cli/cli.ts';
import { realPython } from '../support/devices.ts';

const { smollm2 } = JSON.parse(readFileSync(join(root, 'node_modules/.backspin-real.json'), 'utf8')) as { smollm2: string };
/** Less than the 8,192 tokens of the model, whose caches would not leave room for the trainings beside them. */
const maxModelLength = 1024;

export interface RealRecipe {
  /** Files of `data/`, by the name that the example gives them. */
  readonly files: Readonly<Record<string, string>>;
  /** Folders of models that the example names. */
  readonly models: readonly string[];
  /** The step whose model is exported, if the recipe's result is none. */
  readonly model?: string;
  /** What makes it small: path in the experiment file -> value. */
  readonly sets: Readonly<Record<string, unknown>>;
  /** Reasons for which its operators may drop a record. */
  readonly drops: readonly string[];
}

const folder = temporary();
const home = join(folder, 'home');
mkdirSync(home);

export async function up(): Promise<void> {
  writeFileSync(join(home, 'pools.yaml'), 'cpu: { groups: 1, keepWarm: 1h }\n');
  await run('up', '--detach');
}
export const down = () => backspin(home, ['down']);

/** Runs a recipe to its end. */
export async function launch(recipe: string, real: RealRecipe): Promise<View> {
  await run('launch', ...prepare(recipe, real), '--watch');
  return JSON.parse(await run('status', recipe, '--json')) as View;
}

/** Puts beside a recipe's experiment file what it asks for. Returns the file and its changes, as arguments of the command. */
export function prepare(recipe: string, { files, models, sets }: RealRecipe): string[] {
  const file = join(folder, `${recipe}.yaml`);
  copyFileSync(join(root, `examples/${recipe}.yaml`), file);
  mkdirSync(join(folder, recipe));
  for (const [name, from] of Object.entries(files)) copyFileSync(join(import.meta.dirname, 'data', from), join(folder, recipe, name));
  for (const name of models) putModel(join(folder, recipe, name), name);
  return [
    file,
    '--set',
    'serving.slots=8',
    '--set',
    `serving.maxModelLength=${maxModelLength}`,
    ...Object.entries(sets).flatMap(([path, value]) => ['--set', `${path}=${JSON.stringify(value)}`]),
  ];
}

/** What a step's model says once it is exported, and whether it has learnt anything. */
export async function answer(recipe: string, step: string): Promise<{ readonly text: string; readonly learnt: boolean }> {
  const to = join(folder, `${recipe}-exported`);
  await run('export', recipe, step, '--to', to);
  const program = [join(import.meta.dirname, 'answer.py'), to, smollm2];
  const { stdout } = await promisify(execFile)(realPython(), program, { env: { ...process.env, HF_HUB_OFFLINE: '1' } });
  rmSync(to, { recursive: true });
  return JSON.parse(stdout) as { text: string; learnt: boolean };
}

/** Without the system turn that names SmolLM, which an instruction would repeat. The rewriter, which must be another model, keeps it. */
function putModel(to: string, name: string): void {
  cpSync(smollm2, to, { recursive: true });
  if (name === 'rewriter') return;
  const template = join(to, 'chat_template.jinja');
  writeFileSync(template, readFileSync(template, 'utf8').replace(/\{% if loop\.first .*?\{% endif %\}/s, ''));
}

export async function run(...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await backspin(home, args);
  if (code !== 0) throw new Error(`backspin ${args.join(' ')}: exit code ${code}\n${stdout}${stderr}`);
  return stdout;
}
