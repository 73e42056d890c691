/** `backspin prompt FILE_OR_NAME STEP`: shows what a step asks a model for a record, and with `--ask` what the model answers. */
import { existsSync } from 'node:fs';
import { plannedCall, producerOf, take } from '../experiments/trial.ts';
import { firstRequests, type Request } from '../experiments/first-requests.ts';
import { loadExperiment } from '../experiments/config.ts';
import { experimentOf } from '../experiments/record.ts';
import { homeFolder } from '../host/home.ts';
import { keptRecords } from '../plan/estimate.ts';
import { callsOf, type PlannedCall, type PlannedCalls } from '../plan/planner.ts';
import { isReal } from '../plan/symbols.ts';
import { isRef, refsIn, type AnyRef, type DatasetRef, type ModelRef } from '../schemas/call.ts';
import type { BoundConfig } from '../schemas/config.ts';
import { BackspinError } from '../schemas/errors.ts';
import { duration, number } from '../schemas/units.ts';
import type { Prompt, Rec } from '../recipe/define.ts';
import { castOf } from '../steps/call-inputs.ts';
import { fit } from '../steps/chain.ts';
import { checkParams, isSource } from '../steps/definitions.ts';
import { openServices } from '../steps/services.ts';
import { recordsOf } from '../steps/source.ts';
import type { Store } from '../store/store.ts';
import { answerTo, type Answer } from './ask.ts';
import { refuseMissing } from './prepare.ts';
import { printRecords } from './terminal/records.ts';
import { printJson } from './terminal/text.ts';

interface Options {
  readonly record: number;
  readonly ask?: boolean;
  readonly set: string[];
  readonly json?: boolean;
}

export async function run(file: string, wanted: string, { record: place, ask, set, json }: Options): Promise<void> {
  const services = await openServices(homeFolder());
  const { store } = services;
  const bound = await boundOf(file, set, store);
  const planned = await callsOf(services, bound);
  const found = plannedCall(planned, wanted);
  const { call } = found;
  if (call.verb !== 'map') throw new BackspinError('ConfigError', `Step ${call.path} is no map: it asks no model about records.`);
  const { record, instead } = await recordAt(place, found, planned, store);
  const stepKey = isRef(found.result) ? found.result.digest : call.path;
  const asked = await firstRequests(call, record, { ...planned, store, stepKey });
  if ('none' in asked) throw new BackspinError('NotFound', `For record ${place} of step ${call.path} no model is asked: ${asked.none}.`);
  const answers = ask ? [await answerOf(asked.requests[0]!, found, { bound, planned, store })] : [];
  if (json)
    return printJson({
      step: call.path,
      record: record.value,
      ...(instead && { instead }),
      requests: asked.requests,
      ...(ask && { answer: answers[0] }),
    });
  console.log(`${call.path}: ${call.operation}, record ${number(place)}`);
  if (instead) console.log(`The records of this step do not exist yet; this one is of ${instead}, and fits.`);
  printRecords([{ record: record.value }]);
  for (const request of asked.requests) console.log(`\n${formatRequest(request)}`);
  for (const { reply, finish, tokens, seconds } of answers)
    console.log(`\n── reply (${finish}; ${number(tokens)} tokens, ${duration(seconds)})\n${reply}`);
}

/** Of an experiment file, or as an experiment was launched. */
async function boundOf(file: string, sets: readonly string[], store: Store): Promise<BoundConfig> {
  if (existsSync(file) || /[./]/.test(file)) return (await loadExperiment(file, sets)).bound;
  if (sets.length > 0)
    throw new BackspinError('ConfigError', `${file} is an experiment that was launched: --set changes values of a file.`);
  return (await experimentOf(store, file)).config as BoundConfig;
}

interface Found {
  readonly record: Rec<unknown>;
  /** Where it comes from, if not from what the step works on. */
  readonly instead?: string;
}

/** The record with this number, from 1, of those that the step works on. While they do not exist yet: of the nearest data before it that the
 *  step can read. */
async function recordAt(place: number, { call }: PlannedCall, planned: PlannedCalls, store: Store): Promise<Found> {
  const over = call.inputs['over'] as DatasetRef;
  const own = isReal(over) ? store.read(over) : sourceRecords(over, planned);
  if (own) return { record: await nth(own, place, `Step ${call.path} works on`) };
  const { input } = planned.registry.operator(call.operation.split('>')[0]!);
  for (const ref of before(over, planned)) {
    const name = producerOf(ref, planned)?.call.path;
    const records = isReal(ref) ? store.read(ref) : sourceRecords(ref, planned);
    const [first] = records ? await take(records, 1) : [];
    if (!first || 'fault' in fit(input, first.value)) continue;
    const again = isReal(ref) ? store.read(ref) : sourceRecords(ref, planned)!;
    return { record: await nth(again, place, `${name} has`), ...(name !== undefined && { instead: name }) };
  }
  throw new BackspinError(
    'NotFound',
    `Step ${call.path} works on the records of step ${producerOf(over, planned)?.call.path}, which has not run yet, and no data of the file are like them: \`backspin try\` runs both on a few records, and after a launch this shows real ones.`,
  );
}

/** Datasets that a planned one is made from, the nearest first. */
function before(over: DatasetRef, planned: PlannedCalls): DatasetRef[] {
  const found = new Map<string, AnyRef>([[over.digest, over]]);
  for (const ref of found.values())
    for (const other of refsIn(producerOf(ref, planned)?.call.inputs)) if (!found.has(other.digest)) found.set(other.digest, other);
  return [...found.values()].filter((ref) => ref.kind === 'dataset' && ref !== over) as DatasetRef[];
}

/** Undefined: it is no source. */
function sourceRecords(ref: DatasetRef, planned: PlannedCalls): AsyncIterable<Rec<unknown>> | undefined {
  const call = producerOf(ref, planned)?.call;
  return call && isSource(call) ? keptRecords(recordsOf(call, planned.registry, checkParams(call, planned.registry))) : undefined;
}

async function nth(records: AsyncIterable<Rec<unknown>>, place: number, what: string): Promise<Rec<unknown>> {
  const read = await take(records, place);
  if (read.length === place) return read.at(-1)!;
  throw new BackspinError('NotFound', `${what} ${number(read.length)} records: there is no record ${number(place)}.`);
}

async function answerOf(
  { role, prompt, sampling }: Request,
  { call }: PlannedCall,
  { bound, planned, store }: { bound: BoundConfig; planned: PlannedCalls; store: Store },
): Promise<Answer> {
  if (!sampling) throw new BackspinError('ConfigError', `Step ${call.path} only scores texts: there is no reply to show.`);
  refuseMissing(bound.name, planned.missing);
  return answerTo({ role, model: castOf(call)[role] as ModelRef, prompt, sampling }, bound, planned, store);
}

function formatRequest({ role, prompt, continuations, sampling }: Request): string {
  const settings = sampling ? Object.entries(sampling).map(([name, value]) => `${name} ${JSON.stringify(value)}`) : [];
  return [
    `── to the model in the role ${role}${settings.length > 0 ? ` (${settings.join(', ')})` : ''}`,
    ...formatPrompt(prompt),
    ...(continuations ? [`── scored: ${continuations.map((text) => JSON.stringify(text)).join(', ')}`] : []),
  ].join('\n');
}
function formatPrompt(prompt: Prompt): string[] {
  if ('text' in prompt) return ['── text, without a chat template', prompt.text];
  if ('tokens' in prompt) return ['── tokens, without a chat template', prompt.tokens.join(' ')];
  const turns = prompt.messages.flatMap(({ role, content }) => [`── ${role}`, content]);
  return prompt.prefill === undefined ? turns : [...turns, '── assistant, whose reply goes on from here', prompt.prefill];
}
