/** `backspin review NAME [STEP]`: goes through a sample of records, and sends the verdicts to the gate that waits for them. */
import { spawnSync } from 'node:child_process';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { argillaRecords, readArgilla } from '../experiments/argilla.ts';
import { currentRecord } from '../experiments/current.ts';
import { experimentOf } from '../experiments/record.ts';
import { countsOf, decide, openReview, sendReview, type Review, type Values } from '../experiments/review.ts';
import { openHome } from '../host/home-store.ts';
import { BackspinError } from '../schemas/errors.ts';
import type { ExperimentRecord } from '../schemas/experiment.ts';
import { precisionText } from '../schemas/precision.ts';
import type { Store } from '../store/store.ts';
import { printRecords } from './terminal/records.ts';
import { reviewByKeys, type Desk } from './terminal/review.ts';

interface Options {
  readonly sample?: number;
  readonly keepRejected?: boolean;
  readonly to?: string;
  readonly from?: string;
}

export async function run(name: string, step: string | undefined, options: Options): Promise<void> {
  const { sample, keepRejected = false, to, from } = options;
  const store = await openHome();
  const record = await currentRecord(await experimentOf(store, name));
  const review = await openReview(store, record, step, sample);
  if (to !== undefined) return writeArgilla(to, review);
  const rejected = keepRejected ? 'keep' : 'drop';
  if (from !== undefined) return finish(store, record, await readVerdicts(store, from, review), rejected);
  if (!process.stdin.isTTY)
    throw new BackspinError(
      'ConfigError',
      'A review by keys needs a terminal: open its page with `backspin ui`, or take verdicts from a file with --from.',
    );
  const { review: reviewed, send } = await atTerminal((desk) => reviewByKeys(desk, store, review));
  if (send) return finish(store, record, reviewed, rejected);
  console.log(`${precisionText(countsOf(reviewed))}. The verdicts are kept: \`backspin review ${name} ${review.step}\` goes on.`);
}

async function finish(store: Store, record: ExperimentRecord, review: Review, rejected: 'drop' | 'keep'): Promise<void> {
  const { gate, step } = review;
  console.log(`${step}: ${precisionText(countsOf(review))}.`);
  if (gate === null) return console.log(`No gate of ${record.name} waits for these records; the verdicts are kept.`);
  await sendReview(store, record, review, rejected);
  console.log(`${record.name} goes on behind ${gate}.`);
}

async function writeArgilla(file: string, review: Review): Promise<void> {
  const records = argillaRecords(review);
  const text = file.endsWith('.json') ? JSON.stringify(records, null, 2) : records.map((record) => JSON.stringify(record)).join('\n');
  try {
    await writeFile(file, `${text}\n`, { flag: 'wx' });
  } catch (error) {
    throw new BackspinError('ConfigError', `${file} cannot be written (${(error as NodeJS.ErrnoException).code}): give a new file.`);
  }
  console.log(`${file} has ${records.length} records of ${review.step} for Argilla.`);
}

async function readVerdicts(store: Store, file: string, review: Review): Promise<Review> {
  const text = await readFile(file, 'utf8').catch((error: NodeJS.ErrnoException) => {
    throw new BackspinError('ConfigError', `${file} cannot be read (${error.code}): check its path.`);
  });
  const { verdicts, undecided, open } = readArgilla(text, file, review);
  for (const { of, ...decided } of verdicts) await decide(store, review, of, decided);
  if (undecided.length > 0)
    console.log(`The reviewers of ${undecided.length} records disagree, so these have no verdict: ${undecided.join(', ')}`);
  if (open > 0) console.log(`${open} records have no response yet.`);
  const merged = new Map([...review.verdicts, ...verdicts.map((one) => [one.of, one] as const)]);
  return { ...review, verdicts: merged };
}

async function atTerminal<T>(body: (desk: Desk) => Promise<T>): Promise<T> {
  const { stdin } = process;
  async function* keys() {
    for await (const chunk of stdin) yield* String(chunk);
  }
  stdin.setEncoding('utf8').setRawMode(true);
  try {
    return await body({
      keys: keys(),
      print: (text) => console.log(text),
      show: (value) => printRecords([value]),
      async edit(value) {
        stdin.setRawMode(false);
        try {
          return await inEditor(value);
        } finally {
          stdin.setRawMode(true);
        }
      },
    });
  } finally {
    stdin.setRawMode(false);
    stdin.destroy();
  }
}

/** Opens the values as JSON in VISUAL or EDITOR. */
async function inEditor(value: Values): Promise<Values> {
  const editor = process.env['VISUAL'] || process.env['EDITOR'] || 'vi';
  const file = join(tmpdir(), `backspin-review-${process.pid}.json`);
  try {
    await writeFile(file, `${JSON.stringify(value, null, 2)}\n`, { mode: 0o600 });
    const { status } = spawnSync('sh', ['-c', `${editor} "$1"`, 'sh', file], { stdio: 'inherit' });
    if (status !== 0) throw new BackspinError('ConfigError', `${editor} failed: name another editor in EDITOR.`);
    const edited = await readFile(file, 'utf8');
    try {
      return JSON.parse(edited) as Values;
    } catch (error) {
      throw new BackspinError('ConfigError', `The edit is not taken: it is no JSON (${(error as Error).message}).`);
    }
  } finally {
    await rm(file, { force: true });
  }
}
