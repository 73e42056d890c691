// Defines annotated utterances about the text world, for LINGUIST: `textworld-utterances.train` and `textworld-utterances.test`.
import { z } from 'zod';
import { source } from '../../recipe/index.ts';
import { seededRandom } from './random.ts';
import { relations } from './relations.ts';
import { World } from './world.ts';

export const namespace = 'textworld-utterances';

const world = new World(0);

/** Each intent is about one relation of a kind of thing; its slots are the thing and the value. */
const intents = {
  TownRegion: ['town', 'region', relations.town.region],
  TownFounder: ['town', 'person', relations.town.founder],
  TownMarket: ['town', 'month', relations.town.market],
  RiverFish: ['river', 'fish', relations.river.fish],
  ShipCaptain: ['ship', 'person', relations.ship.captain],
  ShipCargo: ['ship', 'cargo', relations.ship.cargo],
  BirdFood: ['bird', 'food', relations.bird.food],
  BirdHome: ['bird', 'place', relations.bird.home],
} as const;
export type Intent = keyof typeof intents;
export const names = Object.keys(intents) as Intent[];

interface Utterance {
  readonly tokens: readonly string[];
  readonly tags: readonly string[];
  readonly intent: string;
}

/** The pattern's words, with thing and value as slots. Signs at the end are words of their own. */
function annotate(intent: Intent, pattern: string, thing: string, value: string): Utterance {
  const [kind, relation] = intents[intent];
  const words = pattern.replace(/[.?]$/, ' $&').split(' ');
  return {
    tokens: words.map((word) => (word === '{thing}' ? thing : word === '{value}' ? value : word)),
    tags: words.map((word) => (word === '{thing}' ? `B-${kind}` : word === '{value}' ? `B-${relation}` : 'O')),
    intent,
  };
}

/** Questions about a relation, and statements, true and false, to be checked. */
function utterances(part: 'train' | 'test', seed: number, each: number): Utterance[] {
  const random = seededRandom(`utterances ${part} ${seed}`);
  return names.flatMap((intent) => {
    const [kind, , { statements, questions, values }] = intents[intent];
    const things = world.things.filter((thing) => thing.kind === kind);
    return Array.from({ length: each }, () =>
      annotate(intent, random.pick([...statements, ...questions]), random.pick(things).name, random.pick<string>(values)),
    );
  });
}

const params = z.strictObject({ seed: z.int().min(0), each: z.int().min(1).describe('Utterances of each intent.') });
const output = z.strictObject({ tokens: z.array(z.string()), tags: z.array(z.string()), intent: z.string() });
const sourceOf = (part: 'train' | 'test') =>
  source({ version: 1, output, params, rows: ({ seed, each }) => utterances(part, seed, each) as z.infer<typeof output>[] });

export const train = sourceOf('train');
export const test = sourceOf('test');
