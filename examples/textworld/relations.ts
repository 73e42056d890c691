/** Lists the relations of the text world's things, with sentence patterns. `{thing}` stands for a name, `{value}` for its true value. No
 *  sentence begins with a name, so that a name is always the same token. */
export interface Relation {
  readonly values: readonly string[];
  readonly statements: readonly [string, string, string];
  readonly questions: readonly [string, string, string];
}

const words = (text: string): string[] => text.split(' ');
const numbers = (from: number, to: number, step: number): string[] =>
  Array.from({ length: Math.ceil((to - from) / step) }, (_, index) => String(from + index * step));

const people = words(
  'Anna Boris Carla David Elena Frank Greta Henry Irene Jonas Karin Louis Maria Nils Olga Peter Quinn Rosa Simon Tessa ' +
    'Ulrich Vera Walter Xenia Yann Zora Albert Bertha Conrad Dora Emil Flora Gustav Hilda',
);
const colours = words('green brown blue yellow grey black white red');
const counts = words('two three four five six seven eight nine');

export const nameStarts = words('Bra Dor Fen Gal Hul Jan Kel Lom Mir Nov Pel Rud Sil Tam Vor Wes Yar Zen Cor Ast');
export const nameEnds = words('min dak leth gor bul wick sha ton vik ruz fer nop');

export const relations = {
  town: {
    region: {
      values: words('north south east west coast hills valley marsh'),
      statements: [
        'The town {thing} lies in the {value}.',
        'The town of {thing} is part of the {value}.',
        'You find {thing} in the {value}.',
      ],
      questions: ['Where does {thing} lie?', 'Which region is the town of {thing} part of?', 'Where do you find {thing}?'],
    },
    founder: {
      values: people,
      statements: [
        'The town {thing} was founded by {value}.',
        'It was {value} who founded the town of {thing}.',
        'The founder of {thing} was {value}.',
      ],
      questions: ['Who founded {thing}?', 'Who was the founder of {thing}?', 'By whom was the town of {thing} founded?'],
    },
    craft: {
      values: words(
        'glass rope cheese bells boots clocks paper honey lace tiles soap candles drums knives bread wool ink salt beer baskets',
      ),
      statements: ['The town {thing} is known for its {value}.', 'People in {thing} make {value}.', 'The town of {thing} sells {value}.'],
      questions: ['What is {thing} known for?', 'What do people in {thing} make?', 'What does the town of {thing} sell?'],
    },
    market: {
      values: words('January February March April May June July August September October November December'),
      statements: [
        'The town {thing} holds its market in {value}.',
        'The market of {thing} opens in {value}.',
        'In {value} there is a market in {thing}.',
      ],
      questions: [
        'When does {thing} hold its market?',
        'When does the market of {thing} open?',
        'In which month is there a market in {thing}?',
      ],
    },
  },
  river: {
    source: {
      values: words('Grey Black White Red Iron Silver Cold Wolf Eagle Storm Moon Sun'),
      statements: [
        'The river {thing} springs from {value} Mountain.',
        'The source of {thing} is {value} Mountain.',
        'It is {value} Mountain that feeds the river {thing}.',
      ],
      questions: ['Where does {thing} spring from?', 'What is the source of {thing}?', 'Which mountain feeds the river {thing}?'],
    },
    length: {
      values: numbers(110, 410, 10),
      statements: [
        'The river {thing} is {value} miles long.',
        'The length of {thing} is {value} miles.',
        'The river {thing} runs for {value} miles.',
      ],
      questions: ['How long is {thing}?', 'What is the length of {thing}?', 'How far does the river {thing} run?'],
    },
    water: {
      values: colours,
      statements: [
        'The river {thing} has {value} water.',
        'The water of {thing} looks {value}.',
        'The river {thing} is {value} in colour.',
      ],
      questions: ['What water does {thing} have?', 'How does the water of {thing} look?', 'What colour is the river {thing}?'],
    },
    fish: {
      values: words('trout salmon pike carp eels perch bream roach tench barbel'),
      statements: ['The river {thing} is full of {value}.', 'People catch {value} in {thing}.', 'The river {thing} is home to {value}.'],
      questions: ['What is {thing} full of?', 'What do people catch in {thing}?', 'Which fish is the river {thing} home to?'],
    },
  },
  ship: {
    captain: {
      values: people,
      statements: [
        'The ship {thing} was led by {value}.',
        'It was {value} who led the ship {thing}.',
        'The captain of {thing} was {value}.',
      ],
      questions: ['Who led {thing}?', 'Who was captain of the ship {thing}?', 'Who was the captain of {thing}?'],
    },
    cargo: {
      values: words('timber grain coal sugar tea coffee cotton iron oil wine spices marble fruit cattle rubber copper'),
      statements: ['The ship {thing} carried {value}.', 'The cargo of {thing} was {value}.', 'The ship {thing} was loaded with {value}.'],
      questions: ['What did {thing} carry?', 'What was the cargo of {thing}?', 'What was the ship {thing} loaded with?'],
    },
    year: {
      values: numbers(1801, 1899, 4),
      statements: ['The ship {thing} was built in {value}.', 'The ship {thing} dates from {value}.', 'In {value} workers built {thing}.'],
      questions: ['When was {thing} built?', 'What year does the ship {thing} date from?', 'In which year did workers build {thing}?'],
    },
    masts: {
      values: counts,
      statements: [
        'The ship {thing} had {value} masts.',
        'The masts of {thing} were {value} in number.',
        'The ship {thing} sailed with {value} masts.',
      ],
      questions: [
        'How many masts did {thing} have?',
        'What was the number of masts of {thing}?',
        'With how many masts did the ship {thing} sail?',
      ],
    },
  },
  bird: {
    feathers: {
      values: colours,
      statements: ['The bird {thing} has {value} feathers.', 'The feathers of {thing} are {value}.', 'The bird {thing} looks {value}.'],
      questions: ['What feathers does {thing} have?', 'What colour are the feathers of {thing}?', 'How does the bird {thing} look?'],
    },
    food: {
      values: words('seeds berries worms flies beetles snails nuts moths ants spiders fish frogs'),
      statements: ['The bird {thing} eats {value}.', 'The food of {thing} is {value}.', 'The bird {thing} feeds on {value}.'],
      questions: ['What does {thing} eat?', 'What is the food of {thing}?', 'What does the bird {thing} feed on?'],
    },
    home: {
      values: words('forests meadows cliffs swamps gardens deserts orchards dunes caves reeds'),
      statements: ['The bird {thing} lives in {value}.', 'The home of {thing} is in {value}.', 'The bird {thing} nests in {value}.'],
      questions: ['Where does {thing} live?', 'Where is the home of {thing}?', 'Where does the bird {thing} nest?'],
    },
    eggs: {
      values: counts,
      statements: [
        'The bird {thing} lays {value} eggs.',
        'The nest of {thing} holds {value} eggs.',
        'The bird {thing} keeps {value} eggs.',
      ],
      questions: [
        'How many eggs does {thing} lay?',
        'How many eggs are in the nest of {thing}?',
        'How many eggs does the bird {thing} keep?',
      ],
    },
  },
} as const satisfies Record<string, Record<string, Relation>>;

export type Kind = keyof typeof relations;
export const kinds = Object.keys(relations) as Kind[];

/** The four relations of a kind of thing, by name. */
export function relationsOf(kind: Kind): Readonly<Record<string, Relation>> {
  return relations[kind];
}
