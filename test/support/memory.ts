/** Runs the steps of a recipe in this process: real store, real operators and reducers, models that the test plays. */
import { once } from 'node:events';
import { mkdtemp, mkdir, readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { Readable } from 'node:stream';
import { prepareEmbedding } from '../../steps/embed.ts';
import { stepsOf } from '../../steps/work.ts';
import { openServices, type Services } from '../../steps/services.ts';
import type { StepContext } from '../../schemas/steps.ts';
import { reduceStep } from '../../steps/reduce.ts';
import { resolve } from '../../steps/resolve.ts';
import { commitTraining, prepareTraining } from '../../steps/train.ts';
import type { OfflineMap } from '../../steps/answered.ts';
import { commitScoring, prepareScoring } from '../../steps/score.ts';
import { commitTagging, prepareTagging } from '../../steps/tag.ts';
import type { Models } from '../../steps/models.ts';
import { embeds, isRef, type StepCall, type ModelRef, type Result } from '../../schemas/call.ts';
import type { MaybePromise, Message } from '../../recipe/api.ts';
import type { ScoreRequest, Prompt, TokenScore } from '../../recipe/define.ts';
import type { EmbeddedRow, ScoredText, TaggedRow, TrainSpec } from '../../schemas/trainer.ts';
import { readLines, writeLines } from '../../store/files.ts';

/** The replies of a test's models. `model` is the reference to the model in `role`. A reply may never come, until its step ends without it. */
export interface Played {
  reply(asked: { role: string; model: ModelRef; prompt: Prompt | { messages: readonly Message[] }; seed: number }): MaybePromise<string>;
  place?(texts: readonly string[]): EmbeddedRow;
  weigh?(asked: ScoreRequest & { model: ModelRef }): ScoredText;
  /** The labels of a tagger. */
  tag?(asked: { readonly tokens: readonly string[]; readonly model: ModelRef }): TaggedRow;
  score?(asked: { role: string; model: ModelRef; prompt: Prompt; continuation: string }): readonly TokenScore[];
}

export interface Bench {
  readonly services: Services;
  readonly context: StepContext;
  /** Specs of the trainings, with their calls. */
  readonly trainings: { readonly call: StepCall; readonly spec: TrainSpec; readonly model: ModelRef }[];
  /** The number of answered requests. */
  requests: number;
  perform(call: StepCall): Promise<Result>;
}

export async function bench(played: Played, given: Partial<StepContext> = {}): Promise<Bench> {
  const services = await openServices(await mkdtemp(join(tmpdir(), 'backspin-')));
  const serving = { pool: 'cpu', engine: 'embedded', slots: 8, threads: 1, maxModelLength: null, replicas: 1 } as const;
  const context: StepContext = {
    experiment: 'test',
    seed: 0,
    modules: [],
    serving,
    roles: {},
    training: { pool: 'cpu', threads: 1 },
    external: [],
    ...given,
  };
  const steps = stepsOf(services);
  const self: Bench = {
    services,
    context,
    trainings: [],
    requests: 0,
    async perform(call) {
      const of = call.inputs['of'];
      const registry = await services.registry(context.modules);
      const on = { store: services.store, registry, context, signal: beat.signal };
      if (embeds(call)) return embed({ ...on, resolved: await resolve(call, context, registry) }, played);
      if (call.verb === 'reduce' || (call.verb === 'evaluate' && isRef(of) && of.kind === 'dataset'))
        return (await steps.compute(call, context, beat)).result;
      const opened = await steps.open(call, context);
      if (opened.hit) return opened.hit.result;
      const resolved = await resolve(call, context, registry);
      if (call.verb === 'train') {
        const trained = await train({ ...on, resolved });
        self.trainings.push({ call, ...trained });
        return trained.model;
      }
      const work = opened.work!;
      if (work.batch && (call.verb === 'evaluate' || work.tags)) return tag({ ...on, resolved, work }, played);
      if (work.batch) return score({ ...on, resolved, work }, played);
      for (let batch = 0; batch < work.batches; batch++)
        await steps.batch({ call, context, work, batch }, playing(self, played, resolved.cast), beat);
      return (await steps.commit(call, context, work, { batches: work.batches, spent: null })).result;
    },
  };
  return self;
}

const beat = { signal: new AbortController().signal, heartbeat: () => {} };
type On = Pick<OfflineMap, 'store' | 'registry' | 'resolved' | 'context' | 'signal'>;

async function embed({ store, registry, resolved, context, signal }: On, played: Played): Promise<Result> {
  const { rows } = await prepareEmbedding(store, registry, resolved, context);
  const texts = (await readFile(rows, 'utf8')).trimEnd().split('\n');
  const places = texts.map((line) => played.place!((JSON.parse(line) as { texts: string[] }).texts));
  return (await reduceStep({ store, registry, resolved, seed: context.seed, signal, places: Readable.from(places) })).result;
}

/** Writes a file with the step's key instead of a model. */
async function train({ store, registry, resolved, context }: On): Promise<{ readonly spec: TrainSpec; readonly model: ModelRef }> {
  const spec = await prepareTraining(store, registry, resolved, context);
  const merged = spec.base !== null && spec.adapter === 'merge' ? ['base/config.json'] : [];
  const tagger = spec.objective === 'tagger' ? ['model/tagger.json'] : [];
  const made = spec.lora ? ['model/adapter_config.json'] : ['model/config.json', ...tagger];
  for (const name of [...made, ...merged]) {
    await mkdir(join(spec.run, dirname(name)), { recursive: true });
    await writeFile(join(spec.run, name), resolved.stepKey);
  }
  const { result } = await commitTraining(store, registry, resolved, spec, {
    truncated: 0,
    accumulation: 1,
    computing: {},
    steps: [],
    seconds: 0,
    tokens: 0,
    lastLearningRate: spec.learningRate.to ?? 0,
  });
  return { spec, model: result as ModelRef };
}

async function score(scoring: OfflineMap, played: Played): Promise<Result> {
  const { rows, run } = await prepareScoring(scoring);
  const answers = join(run, 'answers.jsonl');
  async function* answered() {
    for await (const row of readLines(rows)) {
      const { requests } = row as { requests: ScoreRequest[] };
      yield { answers: requests.map((one) => played.weigh!({ ...one, model: Object.values(scoring.resolved.cast)[0]! })) };
    }
  }
  await writeLines(answers, answered());
  return (await commitScoring(scoring, rows, answers)).result;
}

async function tag(tagging: OfflineMap, played: Played): Promise<Result> {
  const { rows, run } = await prepareTagging(tagging);
  const answers = join(run, 'answers.jsonl');
  async function* answered() {
    for await (const row of readLines(rows)) {
      const { tokens } = row as { tokens: string[] };
      yield played.tag!({ tokens, model: Object.values(tagging.resolved.cast)[0]! });
    }
  }
  await writeLines(answers, answered());
  return (await commitTagging(tagging, answers)).result;
}

const rejectedOn = async (signal: AbortSignal): Promise<never> => {
  signal.throwIfAborted();
  await once(signal, 'abort');
  throw signal.reason as Error;
};

function playing(self: Bench, played: Played, cast: Readonly<Record<string, ModelRef>>): Models {
  return {
    concurrency: 4,
    of(role) {
      const model = cast[role]!;
      const answer = async (prompt: Prompt | { messages: readonly Message[] }, { seed, signal }: { seed: number; signal: AbortSignal }) => {
        self.requests++;
        const said = played.reply({ role, model, prompt, seed });
        const text = typeof said === 'string' ? said : await Promise.race([said, rejectedOn(signal)]);
        return { reply: { text, finish: 'stop' as const }, tokens: 1, written: 0 };
      };
      return {
        served: role,
        client: {
          chat: (_model, messages, _sampling, options) => answer({ messages }, options),
          complete: (_model, prompt, _sampling, options) => answer(prompt, options),
          async score(_model, prompt, continuations) {
            self.requests++;
            return {
              reply: continuations.map((continuation) => played.score!({ role, model, prompt, continuation })),
              tokens: 1,
              written: 0,
            };
          },
        },
      };
    },
  };
}
