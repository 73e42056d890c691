/** Lists what the user has edited since the launch (settings, files, modules), and the steps that run again for it. */
import { stat } from 'node:fs/promises';
import { changedImports } from '../steps/reread.ts';
import type { ImportedStep } from '../schemas/steps.ts';
import { plan } from '../plan/planner.ts';
import { checkParams } from '../steps/definitions.ts';
import { sourceFiles } from '../steps/input-files.ts';
import { openServices, type Services } from '../steps/services.ts';
import { isPromptFile, readPromptFile } from '../steps/prompt-files.ts';
import { moduleDigest } from '../steps/registry.ts';
import { contextOf, importsOf } from '../recipe/inputs.ts';
import type { BoundConfig } from '../schemas/config.ts';
import { BackspinError } from '../schemas/errors.ts';
import type { ExperimentRecord } from '../schemas/experiment.ts';
import type { PlannedStep } from '../schemas/plan.ts';
import { rebind, type Experiment } from './config.ts';
import { differences } from './difference.ts';
import { homeFolder } from '../host/home.ts';
import { number } from '../schemas/units.ts';

export interface Edits {
  /** The new configuration; undefined if it has not changed. */
  readonly experiment: Experiment | undefined;
  /** Lines for the user. */
  readonly lines: readonly string[];
}

/** Throws if a setting or an edited file is invalid. */
export async function findEdits(record: ExperimentRecord, sets: readonly string[]): Promise<Edits> {
  const before = record.config as BoundConfig;
  const modules = await changedModules(before);
  const bound = sets.length > 0 || modules.length > 0 ? await rebind(before, sets, before.name) : undefined;
  const experiment = bound && bound.digest !== record.configDigest ? bound : undefined;
  const now = experiment?.bound ?? before;
  const services = await openServices(homeFolder());
  const files = await changedFiles(services, record, now);
  const settings = differences(before, now).filter((line) => !/^modules\.\d+\.digest:/.test(line));
  const prompts = await changedPrompts(now);
  const changes = [...settings, ...modules.map((path) => `The module ${path} has changed since the launch.`), ...prompts, ...files];
  if (changes.length === 0) return { experiment, lines: [] };
  return { experiment, lines: [...changes, await describeRecomputed(services, record, now)] };
}

async function describeRecomputed(services: Services, record: ExperimentRecord, now: BoundConfig): Promise<string> {
  const done = new Set(record.steps.filter(({ state }) => state === 'completed').map(({ path }) => path));
  try {
    const { steps } = await plan(services, now);
    const again = steps.filter(({ path, cached }) => done.has(path) && !cached).map(describeStep);
    return again.length === 0 ? 'Nothing that was done is made again.' : `Made again: ${again.join(', ')}.`;
  } catch (error) {
    if (!(error instanceof BackspinError)) throw error;
    return `What is made again cannot be told before: ${error.message}`;
  }
}

async function changedModules({ modules }: BoundConfig): Promise<string[]> {
  const changed = [];
  for (const { path, digest } of modules.filter((module) => !isPromptFile(module)))
    if ((await moduleDigest(path).catch(() => digest)) !== digest) changed.push(path);
  return changed;
}

/** A sentence for each prompt file that is another than the experiment was launched with, which keeps the old one. */
async function changedPrompts({ modules }: BoundConfig): Promise<string[]> {
  const sentences = [];
  for (const { path, digest } of modules.filter(isPromptFile)) {
    const now = await readPromptFile(path).catch(() => undefined);
    if (now?.digest !== digest)
      sentences.push(
        `${path} has changed since the launch, and the experiment keeps what it was: --set parameters.prompts.NAME=${path} takes the new text.`,
      );
  }
  return sentences;
}

/** Returns a sentence for each source and model whose files have changed since their import. */
async function changedFiles(services: Services, record: ExperimentRecord, now: BoundConfig): Promise<string[]> {
  const keys = new Map(
    record.steps.flatMap(({ path, state, stepKey }) => (state === 'completed' && stepKey !== null ? [[path, stepKey]] : [])),
  );
  const imported = (await importsOf(now)).flatMap((call): ImportedStep[] => {
    const stepKey = keys.get(call.path);
    return stepKey === undefined ? [] : [{ call, stepKey }];
  });
  const old = new Set((await importsOf(record.config as BoundConfig)).map((call) => JSON.stringify(call)));
  const same = imported.filter(({ call }) => old.has(JSON.stringify(call))); // changed settings are reported separately
  const registry = await services.registry(now.modules);
  const changed = await changedImports(services, same, contextOf(now));
  return Promise.all(
    changed.map(async ({ call, stepKey }) => {
      const { path, tokenizer, chatTemplate } = call.inputs as { path?: string; tokenizer?: string; chatTemplate?: string };
      const given = path ?? tokenizer ?? chatTemplate;
      const files = given === undefined ? sourceFiles(call, registry, checkParams(call, registry)) : [given];
      const made = Date.parse((await services.store.output(stepKey))?.made ?? '');
      const times = await Promise.all(files.map((file) => stat(file).then(({ mtimeMs, ctimeMs }) => Math.max(mtimeMs, ctimeMs))));
      const newer = files.filter((_, i) => times[i]! > made);
      return `${(newer.length > 0 ? newer : files).join(' and ')} changed since ${call.path} was read in, and is read again.`;
    }),
  );
}

function describeStep({ path, requests, trainingSteps }: PlannedStep): string {
  if (requests) return `${path} (at most ${number(requests)} model calls)`;
  return trainingSteps ? `${path} (${number(trainingSteps)} training steps)` : path;
}
