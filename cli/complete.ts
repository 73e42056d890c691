/** `backspin complete -- WORDS`: what the last word may become, one a line. The scripts of `completion` call it. */
import { existsSync } from 'node:fs';
import type { Argument, Command } from 'commander';
import { inHome } from '../host/home.ts';
import { recipeSchemas } from '../schemas/recipes/index.ts';
import type { Store } from '../store/store.ts';
import { sweepNames } from '../store/sweeps.ts';

/** `words`: those behind `backspin`, up to the one under the cursor, which may be empty. */
export async function run(program: Command, words: readonly string[]): Promise<void> {
  const current = words.at(-1) ?? '';
  const found = await candidates(program, words.slice(0, -1), current);
  for (const one of found) if (one.startsWith(current)) console.log(one);
}

async function candidates(program: Command, before: readonly string[], current: string): Promise<readonly string[]> {
  const [verb, ...rest] = before;
  const visible = program.createHelp().visibleCommands(program);
  if (verb === undefined) return visible.map((command) => command.name());
  const command = visible.find((one) => one.name() === verb);
  if (!command) return [];
  if (current.startsWith('-')) return command.options.flatMap(({ long }) => long ?? []);
  const takesValue = (word: string) => command.options.find(({ long, short, required }) => required && (long === word || short === word));
  const option = takesValue(rest.at(-1) ?? '');
  if (option) return option.argChoices ?? [];
  const given = rest.filter((word, i) => !word.startsWith('-') && !takesValue(rest[i - 1] ?? ''));
  const { registeredArguments: all } = command;
  const last = all.at(-1);
  const argument = all[given.length] ?? (last?.variadic ? last : undefined);
  return argument ? valuesOf(argument, given) : [];
}

/** Names in the store, if there is one; of files the shell knows. */
async function valuesOf(argument: Argument, given: readonly string[]): Promise<readonly string[]> {
  if (argument.argChoices) return argument.argChoices;
  if (argument.name() === 'recipe') return Object.keys(recipeSchemas);
  const ofStore = STORED[argument.name()];
  if (!ofStore || !existsSync(inHome('store'))) return [];
  const { openHome } = await import('../host/home-store.ts');
  return ofStore(await openHome(), given);
}

const names = async (store: Store) => [...(await store.experimentNames()), ...(await sweepNames(store))];
const STORED: Readonly<Record<string, (store: Store, given: readonly string[]) => Promise<readonly string[]>>> = {
  name: names,
  names,
  a: names,
  b: names,
  'file-or-name': names,
  'step-or-round': async (store, given) => STORED['step']!(store, given),
  step: async (store, [name = '']) => (await store.experiment(name))?.steps.map(({ path }) => path) ?? [],
};
