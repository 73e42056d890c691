/** TeGit, later DoG-Instruct: a wrapper turns documents into tasks whose output is grounded in them (2309.05447). */
import {
  operators,
  type Chat,
  type Chosen,
  type Dataset,
  type DataSuite,
  type Metrics,
  type Model,
  type Recipe,
  type Run,
  type MaybePromise,
  type Suite,
  type Template,
} from '../../recipe/api.ts';
import { judgeCheck } from '../../recipe/judge-check.ts';
import { dedup, without } from '../../recipe/reducers.ts';
import type { Grounded, Source, Task } from '../../operators/tegit/records.ts';
import type { TegitParameters } from '../../schemas/recipes/tegit.ts';

const { makeTask, wrap, ground, discriminate } = operators<typeof import('../../operators/tegit/index.ts')>('tegit');

export interface TegitConfig extends TegitParameters {
  /** Wrapper and student both begin here. */
  readonly base: Model;
  /** Makes the tasks of the meta-set. Default: the base, which must know how to then. */
  readonly teacher?: Model;
  /** Judges tasks. Default: the teacher. */
  readonly discriminator?: Model;
  /** Documents with their tasks, made by people or by a teacher: Omega. */
  readonly meta?: Dataset<Task>;
  /** Or documents of which the teacher makes tasks. */
  readonly metaDocuments?: Dataset<Source>;
  /** What the wrapper turns into tasks. */
  readonly documents: Dataset<Source>;
  readonly evaluation: {
    readonly forward?: Chosen<Suite<'lm', Metrics>>;
    /** Of the tasks. */
    readonly tasks?: Chosen<DataSuite<Grounded, Metrics>>;
  };
}

export const tegit: Recipe<TegitConfig, { model: Model; wrapper: Model; data: Dataset<Grounded> }> = async (run, config) => {
  const {
    base,
    teacher = base,
    discriminator = teacher,
    documents,
    nearDuplicates,
    prompts,
    sampling,
    echo,
    templates,
    evaluation,
  } = config;
  const sft = { ...config.sft, objective: 'sft', from: base } as const;
  const examine = (turn: Run, model: MaybePromise<Model>) => {
    const suite = evaluation.forward;
    if (suite) void turn.evaluate(model, suite, { params: suite.params, as: 'evaluate-forward' });
  };
  const learn = (turn: Run, data: MaybePromise<Dataset<Task>>, template: Template<Task, Chat>) => {
    const model = turn.train('student', { ...sft, data, template });
    examine(turn, model);
    return model;
  };

  // W0, W1: the wrapper learns to make tasks.
  const asking = { prompts, sampling, echo };
  const design = (arm: Run) => arm.map(makeTask, config.metaDocuments!, { with: { teacher }, params: asking, as: 'design' });
  const omega: MaybePromise<Dataset<Task>> = config.meta ?? design(run.arm('teacher'));
  const wrapper = run.train('wrapper', { ...sft, ...config.wrapperSft, data: omega, template: { id: templates.toTask } });

  // W2, W3: one call for each document that it has not learnt from.
  const unseen = run.reduce(without(documents, config.meta ?? config.metaDocuments!, 'text'), { as: 'unseen' });
  const wrapped = run.map(wrap, unseen, { with: { wrapper }, params: asking });

  // W4: sound tasks, none of them twice.
  const valid = () => {
    const check = judgeCheck<Grounded, Grounded>(run, config.judgeCheck, {
      pairs: () => run.map(ground, omega, { as: 'check-tasks' }),
      move: { output: 'output' },
      about: 'instruction',
      score: null,
    });
    const judge = check(run, discriminator, (pairs, discriminator) =>
      run.map(discriminate, pairs, { with: { discriminator }, params: asking, as: 'check-judged' }),
    );
    return run.map(discriminate, wrapped, { with: { discriminator: judge }, params: asking });
  };
  const sound = config.discriminate ? valid() : wrapped;
  const several =
    nearDuplicates === null ? sound : run.reduce(dedup(sound, { on: 'instruction', jaccard: nearDuplicates }), { as: 'tasks' });
  const data = await run.gate(several, { rows: config.minimum });
  if (evaluation.tasks) void run.evaluate(data, evaluation.tasks, { params: evaluation.tasks.params, as: 'evaluate-tasks' });

  // W5: the student, from the base too.
  const model = learn(run, data, { id: templates.toOutput });
  if (config.arms.includes('text')) void learn(run.arm('text'), data, { id: templates.toText });
  return { model: await model, wrapper: await wrapper, data };
};
