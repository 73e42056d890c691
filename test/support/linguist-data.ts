/** Utterances of three intents of a voice assistant. */
import { taggedOf, type Piece } from '../../operators/linguist/grammar.ts';

const cities = ['boston', 'new york', 'lima', 'rio de janeiro', 'oslo', 'cape town', 'kyoto'];
export const days = ['today', 'next friday', 'in two days', 'tomorrow', 'on sunday'];
const artists = ['nina simone', 'abba', 'the who', 'björk', 'queen'];
const counts = ['two', 'five', 'a dozen', 'three'];
export const pick = <T>(items: readonly T[], n: number): T => items[n % items.length]!;

const words = (text: string): Piece<string> => ({ type: null, words: text.split(' ') });
const slot = (type: string, value: string): Piece<string> => ({ type, words: value.split(' ') });
const patterns: Readonly<Record<string, (n: number) => readonly Piece<string>[]>> = {
  GetWeather: (n) => [
    words(pick(['will it snow in', 'is it warm in', 'weather for'], n)),
    slot('city', pick(cities, n)),
    ...(n % 3 === 0 ? [] : [slot('timeRange', pick(days, n))]),
    ...(n % 4 === 0 ? [words('and in'), slot('city', pick(cities, n + 3))] : []),
    words(`number ${n}`),
  ],
  PlayMusic: (n) => [words(pick(['play', 'put on', 'i want to hear'], n)), slot('artist', pick(artists, n)), words(`song ${n}`)],
  BookRestaurant: (n) => [
    words('book a table for'),
    slot('partySize', pick(counts, n)),
    words('in'),
    slot('city', pick(cities, n)),
    slot('timeRange', pick(days, n)),
    words(`number ${n}`),
  ],
};
export const intents = Object.keys(patterns);
export const rowOf = (intent: string, n: number) => ({ ...taggedOf(patterns[intent]!(n)), intent });
export const rowsOf = (from: number, count: number) =>
  intents.flatMap((intent) => Array.from({ length: count }, (_, n) => rowOf(intent, from + n)));
