/** What the documents tell a person to type is typed here, with stand-ins for what they leave open. */
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import test from 'ava';
import { Semaphore } from '../../inference/limiter.ts';
import { nvidia } from '../support/nvidia.ts';
import { backspin, root, temporary, verbs, type Ran } from '../cli/cli.ts';

const within = (folder: string, end: string): string[] =>
  readdirSync(join(root, folder)).flatMap((file) => (file.endsWith(end) ? [join(folder, file)] : []));
const documents = [
  'README.md',
  'CONTRIBUTING.md',
  'SECURITY.md',
  'CHANGELOG.md',
  ...within('docs', '.md'),
  ...within('docs/recipes', '.md'),
];
const experiments = ['examples', 'examples/smollm2', 'examples/textworld'].flatMap((folder) => within(folder, '.yaml'));

interface Said {
  /** Document and line. */
  readonly at: string;
  readonly text: string;
  readonly inline: boolean;
}
const said: readonly Said[] = [
  ...documents.flatMap((document) => [...codeOf(document, read(document))]),
  ...experiments.flatMap((file) => [...commentsOf(file, read(file))]),
];
function read(file: string): string {
  return readFileSync(join(root, file), 'utf8');
}

/** Lines of the blocks that name no language, and what stands between back-ticks. */
function* codeOf(document: string, markdown: string): Generator<Said> {
  let block: string | undefined;
  for (const [i, line] of markdown.split('\n').entries()) {
    const at = `${document}:${i + 1}`;
    const fence = /^```(\w*)/.exec(line);
    if (fence) block = block === undefined ? fence[1] : undefined;
    else if (block === '') yield { at, text: line.split(/\s{2,}|\s#|\s─/)[0]!, inline: false };
    else if (block === undefined) for (const [, text] of line.matchAll(/`([^`]+)`/g)) yield { at, text: text!, inline: true };
  }
}

/** The commands that an experiment file tells at its head. */
function* commentsOf(file: string, yaml: string): Generator<Said> {
  for (const [i, line] of yaml.split('\n').entries()) {
    const text = /^#\s+(np[mx] .*)/.exec(line)?.[1];
    if (text !== undefined) yield { at: `${file}:${i + 1}`, text: text.split(/\s{2,}/)[0]!, inline: false };
  }
}

/** `up [--detach] / down` is three commands, `approve | give-up NAME` two. */
function variants(text: string): string[] {
  const shared = / (NAME.*)$/.exec(text)?.[1] ?? '';
  return text.split(/ [/|] /).flatMap((one) => {
    const whole = text.includes(' | ') && !one.includes(' ') ? `${one} ${shared}` : one;
    const bare = whole.replaceAll(/\[[^\]]*\]| \.\.\.$/g, '');
    return [bare, whole.replaceAll(/[[\]]| \.\.\.$/g, '')];
  });
}
const standIns: Readonly<Record<string, string>> = {
  COMMAND: 'plan',
  FILE: 'examples/textworld/humpback.yaml',
  NAME: 'some-name',
  N2: 'other-name',
  STEP: 'some-step',
  ID: 'some-id',
  QUERY: 'some-query',
  PORT: '4100',
  K: '1',
  REASON: 'no-score',
  PLAN: 'no-plan.json',
  RECIPE: 'kun',
  DIR: 'out',
  FOLDER: 'out',
};
/** As a shell splits a line: quotation marks hold words together. Only a word without them may be a path of the checkout. */
const filled = (text: string): string[] =>
  (
    text
      .replaceAll(/\b[A-Z][A-Z0-9]*\b/g, (word) => standIns[word] ?? word)
      .replace('path=value', 'seed=1')
      .match(/(?:"[^"]*"|'[^']*'|[^\s"'])+/g) ?? []
  ).map((word) => {
    const bare = word.replaceAll(/"([^"]*)"|'([^']*)'/g, (_, double?: string, single?: string) => double ?? single ?? '');
    return bare === word && word.includes('/') && existsSync(join(root, word)) ? join(root, word) : bare;
  });

/** Every command, once, with the first place that says it. */
const commands = new Map<string, { readonly at: string; readonly words: readonly string[] }>();
for (const { at, text, inline } of said) {
  const prefixed = /^(?:npx )?backspin (.*)/.exec(text)?.[1];
  if (prefixed === undefined && !(inline && verbs.includes(text.split(' ')[0]!))) continue;
  // A verb alone is spoken of, not told to be typed.
  const spoken = prefixed ?? (text.includes(' ') ? text : `${text} --help`);
  for (const one of variants(spoken)) {
    const words = filled(one);
    if (!commands.has(words.join(' '))) commands.set(words.join(' '), { at, words });
  }
}

/** What a command says in a home where nothing is yet, once its line has been understood. */
function answer([verb, ...words]: readonly string[]): readonly [code: number, says: RegExp] {
  if (words.includes('--help')) return [0, /^Usage: backspin/];
  if (byName.some((file) => words[0] === join(root, file))) return [1, /HF_HUB_OFFLINE/]; // test/examples/by-name.test.ts has them on a stand-in
  const own = within('examples', '.yaml').find((file) => words[0] === join(root, file));
  if (own) return [1, new RegExp(`${basename(own, '.yaml')}/\\S+ is not a folder`)]; // it says what to put there
  if (verb === 'up' || verb === 'launch') return [1, /No Temporal server answers at 127\.0\.0\.1:9/];
  if (verb === 'plan') return [0, /textworld-/];
  if (verb === 'prompt' && words[0] !== 'some-name')
    return words[1] === 'some-step' ? [1, /The plan has no step "some-step"/] : [0, /── user/];
  if (verb === 'try')
    return [1, words[1] === 'some-step' ? /The plan has no step "some-step"/ : /No Temporal server answers at 127\.0\.0\.1:9/];
  if (verb === 'down') return [0, /Nothing is up/];
  if (verb === 'doctor') return [1, /No workers are up here/];
  if (verb === 'list') return [0, /No experiment in|\[\]/];
  if (verb === 'init') return [0, /\.yaml is written/];
  if (verb === 'completion') return [0, /backspin complete/];
  if (verb === 'schema') return [0, /json-schema\.org/];
  if (verb === 'chaos') return [1, /No folder can be made in .*TMPDIR/]; // it would run the experiment twice
  if (verb === 'gc') return words.includes('--apply') ? [1, /The plan no-plan\.json cannot be read/] : [0, /Nothing in .* can go/];
  if (verb === 'worker' && words.length === 0) return [1, /Say what this host shall do/];
  if (verb === 'worker') return [1, /No Temporal server is named|No Temporal server answers|The store is a folder of this host/];
  if (verb === 'setup') return [1, /This is a checkout/];
  if (verb === 'setup-server') return [1, words.includes('--schema') ? /Say where PostgreSQL is/ : /No Temporal server is named/];
  if (verb === 'store') return [1, /is no store/];
  if (verb === 'ui') return [1, /cannot be used: a part of the path is a file/]; // it would serve until it is interrupted
  return [1, /There is no experiment "(some-name|smollm2|A)"/];
}
const noServer = { TEMPORAL_ADDRESS: '127.0.0.1:9', PATH: `${nvidia(0, 0, 0, 0).folder}:${process.env['PATH']}` };
const environments: Readonly<Record<string, NodeJS.ProcessEnv>> = {
  up: noServer,
  worker: noServer,
  launch: noServer,
  try: noServer,
  chaos: { TMPDIR: '/no/such/folder' },
  ui: { BACKSPIN_HOME: '/dev/null/home' },
};
/** What names its model on the Hub. */
const byName = ['examples/homework.yaml', 'examples/smollm2/humpback.yaml'];
const offline = { HF_HUB_OFFLINE: '1', HF_HOME: '/no/such/folder' };
/** Commands of all documents that run at once: a few, because many only wait for the server that is not there. */
const atOnce = new Semaphore((inUse) => inUse < 8);
const never = new AbortController().signal;
/** The last command of each experiment file. They take turns, so that the trainer checks the models of a file once for all of them. */
const lastOf = new Map<string, Promise<unknown>>();
function inNewHome(words: readonly string[]): Promise<Ran> {
  const [verb, file] = words as [string, string?];
  const run = () => atOnce.run(never, () => backspin(temporary(), words, { ...offline, ...environments[verb] }));
  if (!file?.endsWith('.yaml')) return run();
  const ran = (lastOf.get(file) ?? Promise.resolve()).then(run, run);
  lastOf.set(file, ran);
  return ran;
}

test('the documents name every verb', (t) => {
  const named = new Set([...commands.values()].map(({ words }) => words[0]));
  t.deepEqual(
    verbs.filter((verb) => !named.has(verb)),
    [],
  );
});

for (const document of [...documents, ...experiments]) {
  const own = [...commands].filter(([, { at }]) => at.startsWith(`${document}:`));
  if (own.length === 0) continue;
  test(`every backspin command in ${document} is understood, and does what it can where nothing is up`, async (t) => {
    t.timeout(1_200_000);
    const check = async ([line, { at, words }]: (typeof own)[number]) => {
      const { code, stdout, stderr } = await inNewHome(words);
      const [expected, says] = answer(words);
      t.is(code, expected, `${at}: backspin ${line}\n${stderr}`);
      t.regex(stdout + stderr, says, `${at}: backspin ${line}`);
    };
    await Promise.all(own.map(check));
  });
}

test('every experiment of the text world can be planned where nothing is up', async (t) => {
  for (const file of within('examples/textworld', '.yaml')) {
    const { code, stdout, stderr } = await inNewHome(['plan', join(root, file), '--json']);
    t.is(code, 0, stderr);
    const { steps, missing } = JSON.parse(stdout) as { steps: object[]; missing: string[] };
    t.true(steps.length > 0, file);
    t.deepEqual(missing, [], file);
  }
});

test('every option that is spoken of alone belongs to a verb', async (t) => {
  const helps = await Promise.all(verbs.map(async (verb) => (await backspin(temporary(), [verb, '--help'])).stdout));
  const options = said.flatMap(({ at, text }) => (/^--[a-z]/.test(text) ? [{ at, option: text.split(' ')[0]! }] : []));
  t.true(options.length > 0);
  for (const { at, option } of options)
    t.true(
      helps.some((help) => help.includes(`${option} `)),
      `${at}: ${option}`,
    );
});

test('every npm command is a script, and the files it names are there', (t) => {
  const { scripts } = JSON.parse(read('package.json')) as { scripts: Record<string, string> };
  const called = said.flatMap(({ at, text }) => {
    const [, run, rest] = /^npm (?:run )?([\w:]+)(?: -- (.*))?$/.exec(text) ?? [];
    return run === undefined || run === 'ci' ? [] : [{ at, run, files: (rest ?? '').split(' ').filter((word) => word.includes('/')) }];
  });
  t.true(called.length > 5);
  for (const { at, run, files } of called) {
    t.true(run in scripts, `${at}: npm run ${run}`);
    for (const file of files) t.true(existsSync(join(root, file)), `${at}: ${file}`);
  }
});

test('every link and every path of the checkout leads to a file', (t) => {
  const top = new Set(readdirSync(root).filter((name) => name !== '.backspin')); // made by running, not by cloning
  for (const document of documents) {
    const markdown = read(document);
    for (const [, link] of markdown.matchAll(/\]\(([^)#:]+)(?:#[^)]*)?\)/g))
      t.true(existsSync(join(root, dirname(document), link!)), `${document}: ${link}`);
  }
  for (const { at, text } of said) {
    const path = text.replaceAll('NAME', 'humpback');
    if (/^[\w./-]+$/.test(path) && path.includes('/') && top.has(path.split('/')[0]!))
      t.true(existsSync(join(root, path)), `${at}: ${text}`);
  }
});

test('the recipe in the README is code of the recipe, line by line', (t) => {
  const linesOf = (text: string) => text.split('\n').map((line) => line.trim());
  const [, shown] = /```ts\n(.*?)\n```/s.exec(read('README.md'))!;
  const recipe = new Set(linesOf(read('workflows/recipes/humpback.ts')));
  t.deepEqual(
    linesOf(shown!).filter((line) => !line.startsWith('// …') && !recipe.has(line)),
    [],
  );
});

test('every folder of the checkout is a room in CONTRIBUTING.md, and every room a folder', (t) => {
  const rooms = read('CONTRIBUTING.md').matchAll(/^\| `([\w-]+)\/` \|/gm);
  const folders = readdirSync(root, { withFileTypes: true }).filter((entry) => entry.isDirectory() && /^[a-z]/.test(entry.name));
  const apart = ['docs', 'node_modules', 'coverage'];
  t.deepEqual(
    [...rooms].map(([, room]) => room!).toSorted(),
    folders
      .map(({ name }) => name)
      .filter((name) => !apart.includes(name))
      .toSorted(),
  );
});
