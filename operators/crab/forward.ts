/** W1: instructions with constraints as training rows, after up to three other pairs as demonstrations (2410.24175, code). */
import type { Rec } from '../../recipe/index.ts';
import type { Composition, Forward } from '../../schemas/recipes/crab.ts';
import { drawSample } from '../musc/shots.ts';
import { wordsOf } from '../rules/text.ts';
import { withReply, user } from '../turns.ts';
import { between } from './derive.ts';
import { drawStyle, type Style } from './layouts.ts';
import type { Conversation, Tidied } from './records.ts';

type Random = () => number;
export type Pair = Rec<Tidied>;
/** A pair, and those that demonstrate it. */
export interface Group {
  readonly root: Pair;
  readonly shots: readonly Pair[];
}

/** Each pair is in one group at most: one that demonstrates is no root later. `stream` gives the random numbers of a pair. */
export function groupsOf(pairs: readonly Pair[], { rate, max, window }: Composition['demos'], stream: (id: string) => Random): Group[] {
  const groups: Group[] = [];
  const used = new Set<Pair>();
  for (const [at, root] of pairs.entries()) {
    if (used.has(root)) continue;
    const random = stream(root.id);
    const wanted = random() < rate ? between(1, max, random) : 0;
    const shots: Pair[] = [];
    for (let tried = 1; shots.length < wanted && tried <= TRIES; tried++) {
      const near = pairs.slice(at + 1, at + 1 + tried * window).filter((pair) => !used.has(pair));
      if (near.length === 0) continue;
      const shot = near[Math.floor(random() * near.length)]!;
      used.add(shot);
      shots.push(shot);
    }
    groups.push({ root, shots });
  }
  return groups;
}
const TRIES = 10;

/** Type -> the share of the pairs that have it, at least a half: the frequent types are chosen less often. */
export function weightsOf(pairs: readonly Pair[]): ReadonlyMap<string, number> {
  const counts = new Map<string, number>();
  for (const { value } of pairs) for (const { type } of value.constraints) counts.set(type, (counts.get(type) ?? 0) + 1);
  return new Map([...counts].map(([type, count]) => [type, Math.max(count / pairs.length, 0.5)]));
}

/** A number in the range, or with probability `anyNumber` any from 1; never more than `available`. */
export function drawCount(available: number, { min, max }: Forward['constraints'], anyNumber: number, random: Random): number {
  if (available === 0) return 0;
  return random() < anyNumber ? between(1, available, random) : between(Math.min(min, available), Math.min(max, available), random);
}

/** The user's turn: instruction and `count` constraints. */
function turnOf(
  pair: Tidied,
  count: number,
  weights: ReadonlyMap<string, number>,
  style: Style,
  settings: Forward,
  random: Random,
): string {
  const { instruction, refined, overlap } = pair;
  const isLong = refined === null || wordsOf(refined).length < wordsOf(instruction).length;
  const keepsOriginal = random() < settings.original + settings.perOverlap * overlap;
  const ranked = pair.constraints
    .map((constraint) => ({ text: constraint.text, lot: random() - weights.get(constraint.type)! }))
    .toSorted((a, b) => b.lot - a.lot)
    .slice(0, count);
  const said = isLong || keepsOriginal ? instruction : refined;
  if (ranked.length === 0) return said;
  const list = style.mark(drawSample(ranked, ranked.length, random).map(({ text }) => text));
  return (isLong ? style.longLayout : style.layout)(said, list);
}

/** A conversation that ends with the root's response, and the number of its constraints. The demonstrations have ever more of them. */
export function forwardRow(
  { root, shots }: Group,
  weights: ReadonlyMap<string, number>,
  settings: Forward,
  random: Random,
): Conversation & { readonly constraints: number } {
  const available = root.value.constraints.length;
  const drawn = drawCount(available, settings.constraints, settings.anyNumber, random);
  const constraints = shots.length === 0 ? drawn : Math.min(Math.max(drawn, shots.length), available);
  const style = drawStyle(settings.plainLayout, random);
  let least = 0;
  const turns = shots.flatMap(({ value }, n) => {
    const most = Math.min(Math.max(least, constraints - (shots.length - n)), value.constraints.length);
    const count = between(Math.min(least, most), most, random);
    least = count;
    return withReply(user(turnOf(value, count, weights, style, settings, random)), value.response).messages;
  });
  const last = withReply(user(turnOf(root.value, constraints, weights, style, settings, random)), root.value.response).messages;
  return { messages: [...turns, ...last], constraints };
}
