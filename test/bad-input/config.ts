/** Experiment files: YAML, keys, values, and `--set`. */
import type { Case } from './case.ts';
import { changed, plan, sound } from './experiment.ts';

export const config: readonly Case[] = [
  plan(
    'a tab indents a line',
    changed('  rounds', '\trounds'),
    /experiment\.yaml:10:1: tabs are not allowed as indentation: indent with blanks/,
  ),
  plan(
    'a line is indented by one blank too few',
    changed('  keep', ' keep'),
    /experiment\.yaml:11:1: .*put what belongs together at one column/,
  ),
  plan(
    'a line is indented by two blanks too many',
    changed('  keep', '    keep'),
    /experiment\.yaml:10:11: .*put what belongs together at one column/,
  ),
  plan(
    'no blank stands behind a colon',
    changed('rounds: 2', 'rounds:2'),
    /experiment\.yaml:10:3: .*put a colon and a blank behind the key/,
  ),
  plan('a quote is not closed', changed('humpback.pairs', '"humpback.pairs'), /experiment\.yaml:\d+:\d+: missing closing "quote/),
  plan('messages go to no address', `${sound}notify: { url: slack }\n`, /experiment\.yaml:13:\d+ notify\.url: /),
  plan(
    'messages are posted for an event that there is not',
    `${sound}notify: { url: https://a.example, on: [attention, done] }\n`,
    /notify\.on\.1: is "done", which is none of attention, completed, failed, cancelled/,
  ),
  plan('a sweep sets nothing', `${sound}sweep: {}\n`, /experiment\.yaml:13:1 sweep: sets nothing; name values under `grid` or `pairs`/),
  plan(
    'a sweep sets a path both by itself and in pairs',
    `${sound}sweep: { grid: { seed: [1, 2] }, pairs: [{ seed: 1 }] }\n`,
    /experiment\.yaml:13:\d+ sweep\.pairs\.0\.seed: is in `grid` too; keep one/,
  ),
  plan(
    'a sweep sets a parameter that does not exist',
    `${sound}sweep: { grid: { parameters.round: [1, 2] } }\n`,
    /parameters\.round: .*rounds/s,
  ),
  plan(
    'a sweep makes too many experiments',
    `${sound}sweep: { grid: { parameters.rounds: [1, 2, 3] }, seeds: 100 }\n`,
    /makes 300 experiments; it may make 200/,
  ),
  plan(
    'a sweep has a value for its grid, and no list',
    `${sound}sweep: { grid: { parameters.rounds: 2 } }\n`,
    /sweep\.grid\.parameters\.rounds: is 2; expected a list/,
  ),
  plan('a key stands twice', `${sound}recipe: pretrain\n`, /experiment\.yaml:13:1: map keys must be unique: keep one of the two/),
  plan('an alias names no anchor', changed('rounds: 2', 'rounds: *two'), /experiment\.yaml:10:11: there is no &two before \*two/),
  plan(
    'aliases of aliases grow without end',
    `a: &a [x, x, x, x, x, x, x, x, x]\n${['b', 'c', 'd', 'e'].map((key, i) => `${key}: &${key} [${Array(9).fill(`*${'abcd'[i]}`).join(', ')}]\n`).join('')}`,
    /experiment\.yaml cannot be read: excessive alias count/,
  ),
  plan(
    'a value has a tag of another language',
    changed('rounds: 2', 'rounds: !!python/int 2'),
    /experiment\.yaml:10:11: unresolved tag: .*python\/int: leave the tag out/,
  ),
  plan(
    'two documents are in one file',
    `${sound}---\n${sound}`,
    /experiment\.yaml:13:1: source contains multiple documents: keep one of them/,
  ),
  plan('the file is in Latin-1', Buffer.from(`${sound}# größer\n`, 'latin1'), /experiment\.yaml is not a text in UTF-8: save it as one/),
  plan('the file is empty', '', /experiment\.yaml:1:1 recipe: is missing; one of air, [\w, -]+, tegit is needed/),
  plan('the file is a list', '- recipe: humpback\n', /experiment\.yaml:1:1: is a list; expected an object/),
  plan(
    'a number is in quotes',
    changed('rounds: 2', "rounds: '2'"),
    /experiment\.yaml:10:11 parameters\.rounds: is "2"; expected a number/,
  ),
  plan('rounds are negative', changed('rounds: 2', 'rounds: -2'), /experiment\.yaml:10:11 parameters\.rounds: is -2; at least 1 is needed/),
  plan(
    'rounds are more than anybody waits for',
    changed('rounds: 2', 'rounds: 1000000'),
    /parameters\.rounds: is 1000000; at most 1000 is needed/,
  ),
  plan(
    'a threshold is not a number',
    changed('threshold: 4', 'threshold: .nan'),
    /experiment\.yaml:11:22 parameters\.keep\.threshold: is NaN; expected a number/,
  ),
  plan('a share is a percentage', changed('threshold: 4', 'share: 10'), /parameters\.keep\.share: is 10; at most 1 is needed/),
  plan(
    'two keys exclude each other',
    changed('threshold: 4', 'threshold: 4, share: 0.1'),
    /experiment\.yaml:11:25 parameters\.keep\.share: it does not go with the other keys/,
  ),
  plan(
    'a key within an alternative is misspelt',
    changed('threshold: 4', 'treshold: 4'),
    /experiment\.yaml:11:11 parameters\.keep\.treshold: unknown key; the nearest is "threshold"/,
  ),
  plan(
    'the seed is too large for a generator',
    `${sound}seed: 99999999999\n`,
    /experiment\.yaml:13:7 seed: is 99999999999; at most 2147483647 is needed/,
  ),
  plan(
    'the name has blanks and capitals',
    `${sound}name: My Experiment\n`,
    /experiment\.yaml:13:7 name: is "My Experiment", which does not fit: lower-case letters/,
  ),
  plan(
    'the name is too long for a file',
    `${sound}name: ${'a'.repeat(300)}\n`,
    /experiment\.yaml:13:7 name: is "a+\.\.\."; at most 100 characters are needed/,
  ),
  plan(
    'a minimum is above its maximum',
    changed('rounds: 2', 'instructionChars: { min: 800, max: 10 }'),
    /parameters\.instructionChars: .*min is above max, so nothing would be kept/,
  ),
  plan(
    'a role that nobody has',
    `${sound}roles: { scorrer: { slots: 4 } }\n`,
    /experiment\.yaml:13:10 roles\.scorrer: the recipe humpback has no such role; the nearest is "scorer"/,
  ),
  plan(
    'a pool of no name',
    `${sound}serving: { pool: '' }\n`,
    /experiment\.yaml:13:18 serving\.pool: is "", which does not fit: lower-case letters/,
  ),
  plan(
    'several things are wrong at once',
    changed('evaluation:', 'evaluations:').replace('rounds: 2', 'ronds: 2').replace('threshold', 'treshold'),
    /^experiment\.yaml:7:1 evaluations: .*\nexperiment\.yaml:10:3 parameters\.ronds: .*\n[^]*experiment\.yaml:11:11 parameters\.keep\.treshold: .*$/m,
  ),
  plan(
    '--set without an equals sign',
    sound,
    /--set parameters\.rounds: a path and a value are needed, such as --set parameters\.rounds=3/,
    { set: ['parameters.rounds'] },
  ),
  plan('--set of a path that is not there', sound, /^--set parameter\.rounds=3 parameter: unknown key; the nearest is "parameters"$/m, {
    set: ['parameter.rounds=3'],
  }),
  plan('--set below a number', sound, /--set parameters\.rounds\.x=3: parameters\.rounds is 2 and has no keys/, {
    set: ['parameters.rounds.x=3'],
  }),
  plan('--set behind the end of a list', sound, /--set modules\.7=x\.ts: modules is a list of 0: modules\.0 would be its next/, {
    set: ['modules=[]', 'modules.7=x.ts'],
  }),
  plan(
    '--set with a value that is no YAML',
    sound,
    /--set parameters\.rounds=\[3: its value is not YAML .*: put it in quotes, or mend it/,
    { set: ['parameters.rounds=[3'] },
  ),
];
