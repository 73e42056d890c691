// Self-Lengthen: iterative generator and extender (2410.23933; code).
import {
  draw,
  operators,
  select,
  union,
  type Chat,
  type Dataset,
  type Model,
  type Op,
  type Recipe,
  type Reducer,
  type Run,
  type Settings,
  type MaybePromise,
  type Template,
} from '../../../recipe/index.ts';

export interface Task {
  readonly instruction: string;
}
export interface Piece extends Task {
  readonly text: string;
  readonly words: number;
}
export interface Extended extends Piece {
  readonly initial: string;
}

const { propose, write, lengthen, dropShort, thin, demandLength, toText, toLonger } = operators<{
  propose: Op<{ readonly drawn: readonly Task[] }, Task, 'writer', { attempts: number }>; // A1-A3: invent, judge suitable, 3..500 words
  write: Op<Task, Piece, 'generator', { copies: number; attempts: number }>; // B1, B2: check_response
  lengthen: Op<Piece, Extended, 'extender', { copies: number; micro: number; gain: number; attempts: number }>; // C: the loop of micro-iterations
  dropShort: <T extends Piece>(inputs: { of: MaybePromise<Dataset<T>> }) => ReturnType<Reducer<{}, Dataset<T>>>; // rank r by length: keep with max(0, 1 - 2r³)
  thin: Op<Extended, Extended, never, { keepLine: number }>; // D2, seeded
  demandLength: Op<Piece, Piece, 'writer'>; // F3: about, range, above, below
  toText: Template<Piece, Chat>; // instruction -> text
  toLonger: Template<Extended, Chat>; // extend prompt over the thinned initial -> text
}>('self-lengthen');

export interface SelfLengthenConfig {
  readonly base: Model;
  readonly seeds: Dataset<Task>;
  readonly sft: Settings;
  readonly finalSft: Settings;
  readonly rounds: number;
  readonly perRound: number;
  readonly quorum: number;
}

export const selfLengthen: Recipe<SelfLengthenConfig, { model: Model; generator: Model; extender: Model }> = async (run, config) => {
  const { base, seeds, sft, quorum } = config;
  let generator = base,
    extender = base;
  const collected: Promise<Dataset<Piece>>[] = [];

  const draft = (turn: Run) => {
    const tasks = turn.map(propose, turn.reduce(draw(seeds, { count: config.perRound, each: 2 })), {
      with: { writer: base },
      params: { attempts: 10 },
    });
    return turn.map(write, tasks, { with: { generator }, params: { copies: 2, attempts: 20 }, quorum });
  };
  for await (const round of run.rounds(config.rounds)) {
    const initial = round.reduce(dropShort({ of: draft(round) }));
    const longer = round.map(lengthen, initial, { with: { extender }, params: { copies: 2, micro: 3, gain: 1.2, attempts: 20 }, quorum });
    const extended = round.reduce(dropShort({ of: longer }));
    const thinned = round.map(thin, extended, { params: { keepLine: 0.8 } });
    collected.push(initial, extended);
    [generator, extender] = await Promise.all([
      round.train('generator', { ...sft, from: generator, data: extended, template: toText }),
      round.train('extender', { ...sft, from: extender, data: thinned, template: toLonger }),
    ]);
  }
  const pool = run.reduce(select(run.reduce(union([...collected, draft(run)])), { where: { words: { atLeast: 2000, atMost: 7999 } } }));
  const demanding = run.map(demandLength, pool, { with: { writer: base } });
  return { model: await run.train('final', { ...config.finalSft, from: base, data: demanding, template: toText }), generator, extender };
};
