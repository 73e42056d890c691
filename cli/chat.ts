/** `backspin chat NAME [STEP]`: a conversation with a model of an experiment. Each turn is a short lease of the server, which stays warm in
 *  between: nothing is held while a person thinks, and nothing is left if the command is killed. */
import { createInterface } from 'node:readline';
import { currentRecord } from '../experiments/current.ts';
import { experimentOf } from '../experiments/record.ts';
import { findStep } from '../experiments/steps.ts';
import { homeFolder } from '../host/home.ts';
import type { Message } from '../recipe/api.ts';
import { contextOf } from '../recipe/inputs.ts';
import { isRef, type ModelRef } from '../schemas/call.ts';
import type { BoundConfig } from '../schemas/config.ts';
import { BackspinError } from '../schemas/errors.ts';
import type { ExperimentRecord, Step } from '../schemas/experiment.ts';
import { openServices } from '../steps/services.ts';
import { answerTo } from './ask.ts';
import { escapeControls } from './terminal/terminal.ts';

interface Options {
  readonly system?: string;
  readonly temperature: number;
  readonly maxTokens: number;
}

export async function run(name: string, wanted: string | undefined, { system, temperature, maxTokens }: Options): Promise<void> {
  if (!(temperature >= 0)) throw new BackspinError('ConfigError', '--temperature needs a number of 0 or more.');
  const services = await openServices(homeFolder());
  const { store } = services;
  const record = await currentRecord(await experimentOf(store, name));
  const { path, model } = modelOf(record, wanted);
  const bound = record.config as BoundConfig;
  const planned = { calls: new Map(), missing: [], registry: await services.registry(bound.modules), context: contextOf(bound) }; // the model exists
  const messages: Message[] = system === undefined ? [] : [{ role: 'system', content: system }];
  const lines = createInterface({ input: process.stdin, output: process.stdout, terminal: process.stdin.isTTY, prompt: '> ' });
  lines.on('SIGINT', () => process.kill(process.pid, 'SIGINT')); // a terminal in raw mode sends none
  let ended = false;
  lines.once('close', () => (ended = true)); // of piped lines, before the last is answered
  console.log(`${path} of ${name}. An empty line does nothing; Ctrl-D ends.`);
  lines.prompt();
  for await (const line of lines) {
    if (line.trim() !== '') {
      const asked: Message[] = [...messages, { role: 'user', content: line }];
      try {
        const sampling = { temperature, maxTokens };
        const { reply, finish } = await answerTo({ role: 'model', model, prompt: { messages: asked }, sampling }, bound, planned, store);
        console.log(escapeControls(reply.trim()) + (finish === 'length' ? ' …' : ''));
        messages.push(...asked.slice(messages.length), { role: 'assistant', content: reply });
      } catch (error) {
        if (!(error instanceof BackspinError)) throw error;
        console.error(error.message); // the conversation goes on without this turn
      }
    }
    if (!ended) lines.prompt();
  }
  console.log('');
}

/** The model of a step, or of the last training of a round, given by its number; by default the last model that was trained. */
function modelOf(record: ExperimentRecord, wanted: string | undefined): { readonly path: string; readonly model: ModelRef } {
  const round = wanted !== undefined && /^\d+$/.test(wanted) ? Number(wanted) : undefined;
  const models = record.steps.flatMap((step) => {
    const model = modelIn(step);
    return model ? [{ path: step.path, round: step.round ?? 0, kind: step.kind, model }] : [];
  });
  const found =
    wanted !== undefined && round === undefined
      ? models.filter(({ path }) => path === findStep(record, wanted).path)
      : models.filter((one) => one.kind === 'train' && (round === undefined || one.round === round));
  const last = found.at(-1);
  if (last) return last;
  const what = wanted === undefined ? 'no trained model yet' : round === undefined ? `no model at ${wanted}` : `no model of round ${round}`;
  throw new BackspinError(
    'NotFound',
    `${record.name} has ${what}; ${models.length === 0 ? 'it has none at all.' : `it has ${models.map(({ path }) => path).join(', ')}.`}`,
  );
}

const modelIn = ({ result }: Step): ModelRef | undefined =>
  result !== null && isRef(result) && result.kind === 'model' ? result : undefined;
