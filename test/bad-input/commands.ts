/** Command lines, on a home with the experiment `toy`. */
import { rmSync } from 'node:fs';
import { openStore } from '../../store/local.ts';
import { planGc } from '../../store/gc.ts';
import { experiment } from '../support/store.ts';
import { command as of, put, type Case } from './case.ts';
import { toyHome, type Toy } from './toy.ts';

/** A command of words that have no blanks in them. */
const command = (what: string, line: string, ends: number, says: RegExp, alter?: (toy: Toy) => void | Promise<void>): Case =>
  of(what, line.split(' ').slice(1), ends, says, { home: toyHome(alter) });

/** Writes a plan of gc to `plan.json`. */
const planned = (change: (plan: Awaited<ReturnType<typeof planGc>>) => object) => async (toy: Toy) => {
  const later = Date.now() + 2 * 3_600_000;
  put(toy.home, { 'plan.json': JSON.stringify(change(await planGc(await openStore(toy.paths.root), later))) });
};

export const commands: readonly Case[] = [
  command('a verb is misspelt', 'backspin lanch toy.yaml', 64, /unknown command 'lanch'\n\(Did you mean launch\?\)\n.*--help/),
  command('a verb that is none', 'backspin frobnicate', 64, /unknown command 'frobnicate'\n.*--help.* tells what there is/),
  command('an option is misspelt', 'backspin show toy r1/judge --jsno', 64, /unknown option '--jsno'\n\(Did you mean --json\?\)/),
  command('an argument is left out', 'backspin show toy', 64, /missing required argument 'step'/),
  command('an option has no value', 'backspin export toy --to', 64, /option '--to <folder>' argument missing/),
  command('an option that is needed is left out', 'backspin export toy', 1, /Say where it goes: --to FOLDER, or --push OWNER\/NAME/),
  command(
    'a number is a word',
    'backspin stop toy --after-round two',
    64,
    /'--after-round <K>' argument 'two' is invalid\. a whole number of at least 0 is needed/,
  ),
  command(
    'a port above all ports',
    'backspin up --port 99999',
    64,
    /argument '99999' is invalid\. a whole number of at least 1 and at most 65535 is needed/,
  ),
  command(
    'a pool without its groups',
    'backspin up --pool gpu',
    1,
    /--pool gpu: a pool and its device groups are needed, such as --pool cpu=1/,
  ),
  command(
    'an experiment file that is not there',
    'backspin launch tyo.yaml',
    1,
    /The experiment file tyo\.yaml cannot be read \(ENOENT\): check its path/,
  ),
  command(
    'another configuration under a used name',
    'backspin launch toy.yaml --set parameters.rounds=3',
    1,
    /toy was launched with another configuration[^]*parameters\.rounds: 2 -> 3[^]*--name/,
  ),
  command('an experiment is misspelt', 'backspin status toi', 1, /There is no experiment "toi" in .*; the nearest is "toy"/),
  command('an experiment named by a path', 'backspin show ../toy r1/judge', 1, /There is no experiment "\.\.\/toy" in .*toy/),
  command('a step is misspelt', 'backspin show toy r1/juge', 1, /no step "r1\/juge"; the nearest is "r1\/judge"/),
  command(
    'a name that several steps have',
    'backspin show toy judge',
    1,
    /"judge" names several steps of toy; give one of r1\/judge, r2\/judge/,
  ),
  command(
    'a reason that nothing was dropped for',
    'backspin show toy r1/judge --dropped no-scor',
    1,
    /dropped nothing as "no-scor"; the nearest is "no-score"/,
  ),
  command(
    'an export into a folder with something in it',
    'backspin export toy --to full',
    1,
    /full is not empty: give a new folder/,
    ({ home }) => void put(home, { 'full/mine.txt': 'mine' }),
  ),
  command(
    'an export in the place of a file',
    'backspin export toy --to toy.yaml',
    1,
    /toy\.yaml cannot be used: a part of the path is a file, not a folder \(ENOTDIR\)\. Fix that/,
  ),
  command(
    'an export below a file',
    'backspin export toy --to toy.yaml/out',
    1,
    /toy\.yaml\/out cannot be used: a part of the path is a file/,
  ),
  command(
    'an export of an experiment that gave nothing',
    'backspin export toy --to out',
    1,
    /toy has no result \(failed\): name a step, as `backspin status toy` lists them/,
    async ({ paths }) => (await openStore(paths.root)).putExperiment(experiment('toy', { state: 'failed' })),
  ),
  command(
    'a fork from a round that was not reached',
    'backspin fork toy --from-round 9 --name other',
    1,
    /toy has reached round 2: fork from that round or an earlier one/,
  ),
  command(
    'a fork under the name of its parent',
    'backspin fork toy --from-round 1 --name toy',
    1,
    /A fork needs a name of its own: toy is the parent/,
  ),
  command(
    'a fork whose name is none',
    'backspin fork toy --from-round 1 --name Toy_2',
    1,
    /name: "Toy_2" cannot name an experiment; use lower-case letters, digits and hyphens/,
  ),
  command(
    'a fork that changes what is not there',
    'backspin fork toy --from-round 1 --name other --set parameters.ronds=3',
    1,
    /--set parameters\.ronds=3 parameters\.ronds: unknown key; the nearest is "rounds"/,
  ),
  command(
    'gc is given another file',
    'backspin gc --apply toy.yaml',
    1,
    /The plan toy\.yaml cannot be read \(.*\): `backspin gc` makes one and names its file/,
  ),
  command(
    'gc is given JSON of another kind',
    'backspin gc --apply plan.json',
    1,
    /The plan plan\.json cannot be read \(store is missing; expected a string\)/,
    ({ home }) => void put(home, { 'plan.json': '{}' }),
  ),
  command(
    'gc is given a plan with a path more',
    'backspin gc --apply plan.json',
    1,
    /The plan [0-9a-f]{16} was changed after it was made: make a new one with `backspin gc`/,
    planned((plan) => ({
      ...plan,
      sweep: [...plan.sweep, { path: 'experiments/toy.json', bytes: 1, why: 'mine' }],
    })),
  ),
  command(
    'gc is given the plan of another store',
    'backspin gc --apply plan.json',
    1,
    /is of the store [0-9a-f]{8}, and this one, .*, is [0-9a-f]{8}: run it in its own home/,
    async (toy) => {
      await planned((plan) => plan)(toy);
      rmSync(toy.paths.id);
      put(toy.paths.root, { id: '00000000' });
    },
  ),
  command(
    'a pause of what does not run, with nothing up',
    'backspin pause toy',
    1,
    /Nothing is up in .*, and no Temporal server is named: run `backspin up`/,
  ),
];
