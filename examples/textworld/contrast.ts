// Defines the text world for MuSC: decomposed instructions with two constraints, and suites that check both: `textworld-contrast.parts`
// and so on.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { dataSuite, keep, operator, source, suite } from '../../recipe/index.ts';
import type { WeightedPair } from '../../operators/musc/records.ts';
import { createDatasets } from './datasets.ts';
import { constraintsOf, doubleForms, suffixesOf, undress, type Constraint } from './forms.ts';
import { seededRandom, type Random } from './random.ts';
import { topicKey, World, type Topic } from './world.ts';

export const namespace = 'textworld-contrast';

const world = new World(0);
const seed = z.int().min(0);
const dataParams = z.strictObject({ seed, size: z.enum(['full', 'miniature']).default('full') });
type DataParams = z.infer<typeof dataParams>;
type Doubled = Topic & { readonly form: (typeof doubleForms)[number] };

/** The test topics: every fact under two constraints. */
function doubled({ seed, size }: DataParams): Doubled[] {
  const random = seededRandom(`contrast ${seed}`);
  return createDatasets(world, seed, size).topics.map((topic) => ({ ...topic, form: random.pick(doubleForms) }));
}
/** A question, and each constraint on its answer, as sentences. */
const sentences = (random: Random, { form, ...topic }: Doubled): string[] => [
  world.ask(random, { ...topic, form: 'plain' }),
  ...random.shuffle(constraintsOf(form)).map((constraint) => random.pick(suffixesOf(constraint)).trim()),
];

/** A decomposed instruction about each of 864 facts. */
export const parts = source({
  version: 1,
  output: z.strictObject({ instruction: z.string(), constraints: z.array(z.string()) }),
  params: dataParams,
  rows(params) {
    const random = seededRandom(`contrast wordings ${params.seed}`);
    return doubled(params).map((asked) => {
      const constraints = sentences(random, asked);
      return { instruction: constraints.join(' '), constraints };
    });
  },
});

const item = z.strictObject({ text: z.string() });
const told = z.strictObject({ greedy: z.string(), sampled: z.string() });

/** Tests every other fact in another form than `parts`: the share of answers that meet exactly the two constraints, and the share that
 *  are true; each for greedy answers and for samples at temperature 1. */
export const forward = suite({
  version: 1,
  oracle: true,
  params: dataParams,
  items(params) {
    const random = seededRandom(`contrast tests ${params.seed}`);
    return doubled(params)
      .filter((_, n) => n % 2 === 0)
      .map(({ form, ...topic }) => ({ ...topic, form: random.pick(doubleForms.filter((other) => other !== form)) }))
      .map((asked) => ({ text: sentences(random, asked).join(' ') }));
  },
  ask: operator({
    version: 1,
    input: item,
    output: told,
    params: dataParams,
    roles: ['model'],
    capabilities: ['chat'],
    stochastic: () => true,
    calls: () => 2,
    async run({ text }, { chat }) {
      const answer = async (temperature: number) =>
        (await chat('model', [{ role: 'user', content: text }], { temperature, maxTokens: 40 })).text.trim();
      return keep({ greedy: await answer(0), sampled: await answer(1) });
    },
  }),
  measure(answers) {
    const shares = (of: 'greedy' | 'sampled') => {
      const judged = answers.map(({ item, answer }) => {
        const asked = world.parseInstruction(item.text)!;
        const text = answer?.[of] ?? '';
        const fact = world.parseAnswer(text);
        return { both: undress(text).form === asked.form, fact: fact !== null && topicKey(fact) === topicKey(asked) };
      });
      return { both: share(judged, ({ both }) => both), facts: share(judged, ({ fact }) => fact) };
    };
    const [greedy, sampled] = [shares('greedy'), shares('sampled')];
    return { bothGreedy: greedy.both, bothSampled: sampled.both, factsGreedy: greedy.facts, factsSampled: sampled.facts };
  },
});

const marks: { readonly [constraint in Constraint]: RegExp } = { note: /^Note:/, dash: /^-/, quote: /<<|>>/g, done: /Done\.$/ };
const keeps = (answer: string, constraint: Constraint): boolean => constraintsOf(undress(answer).form ?? 'plain').includes(constraint);

/** For pairs whose chosen answer meets the deleted constraint and whose rejected answer does not: the mean weight of the chosen answer's
 *  tokens that meet it, and of all its other tokens. */
export const weights = dataSuite({
  version: 1,
  oracle: true,
  async measure(rows: AsyncIterable<{ readonly value: WeightedPair }>) {
    const [on, off]: [number[], number[]] = [[], []];
    let [pairs, sharp] = [0, 0];
    for await (const { value } of rows) {
      pairs++;
      const { chosen, rejected, touched } = value;
      const dropped = (Object.keys(marks) as Constraint[]).find((constraint) => suffixesOf(constraint).includes(` ${touched[0]}`))!;
      if (!keeps(chosen.text, dropped) || keeps(rejected.text, dropped)) continue;
      sharp++;
      let end = 0;
      const spans = chosen.ids.map((id): [number, number] => [end, (end += pieceOf(id).length)]);
      const text = chosen.ids.map(pieceOf).join('');
      const marked = [...text.matchAll(new RegExp(marks[dropped].source.replace('^', '^ ?'), 'g'))].map(
        ({ index, 0: mark }) => [index, index + mark.length] as const,
      );
      spans.forEach(([from, to], t) => (marked.some(([start, stop]) => start < to && from < stop) ? on : off).push(chosen.weights[t]!));
    }
    return { pairs, sharpShare: pairs === 0 ? 0 : sharp / pairs, weightOn: mean(on), weightElsewhere: mean(off) };
  },
});

let pieces: ReadonlyMap<number, string> | undefined;
/** Returns the text of a token; the end token has none. */
function pieceOf(id: number): string {
  if (!pieces) {
    const { model } = JSON.parse(readFileSync(join(import.meta.dirname, 'tokenizer/tokenizer.json'), 'utf8')) as {
      model: { vocab: Record<string, number> };
    };
    pieces = new Map(Object.entries(model.vocab).map(([piece, id]) => [id, piece.startsWith('<|') ? '' : piece.replaceAll('Ġ', ' ')]));
  }
  return pieces.get(id) ?? '';
}

const share = <T>(items: readonly T[], test: (item: T) => boolean): number =>
  items.length === 0 ? 0 : items.filter(test).length / items.length;
const mean = (numbers: readonly number[]): number =>
  numbers.length === 0 ? 0 : numbers.reduce((sum, one) => sum + one, 0) / numbers.length;
