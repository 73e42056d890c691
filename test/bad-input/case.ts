/** A mistake, and the answer that it should get; the ways in by which mistakes meet the product. */
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { dirname, join } from 'node:path';
import type { ExecutionContext } from 'ava';
import { BackspinError, type ErrorType } from '../../schemas/errors.ts';
import { sha256 } from '../../schemas/canonical.ts';
import { backspin, temporary } from '../cli/cli.ts';

/** The exit code of a command or of the trainer; the type of an error inside, by which a workflow decides; or that it goes on. */
export type End = number | ErrorType | 'goes on';

export interface Answer {
  readonly ends: End;
  readonly says: string;
}

export interface Case {
  /** The mistake, in the words of who made it. */
  readonly what: string;
  /** Makes it. Rejects where something was lost by it. */
  make(t: ExecutionContext): Promise<Answer>;
  readonly ends: End;
  /** What is wrong, where, and what to do. */
  readonly says: RegExp;
}

export type Files = Readonly<Record<string, string | Uint8Array>>;

/** Writes files into a folder, and gives the folder. */
export function put(folder: string, files: Files): string {
  for (const [name, content] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, name)), { recursive: true });
    writeFileSync(join(folder, name), content);
  }
  return folder;
}

/** Runs `body`. Rejects when a file of the folder is not as it was before. */
export async function keeping<T>(folder: string, body: () => Promise<T>): Promise<T> {
  const before = contents(folder);
  const result = await body();
  const after = contents(folder);
  for (const [path, digest] of before) assert.equal(after.get(path), digest, `${path} is not as it was`);
  return result;
}

function contents(folder: string): Map<string, string> {
  const entries = readdirSync(folder, { recursive: true, withFileTypes: true });
  const paths = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
  return new Map(paths.map((path) => [path, sha256(readFileSync(path))]));
}

/** As many at once as there are cores: all commands together would only wait for each other. */
const lanes = Array.from({ length: availableParallelism() }, () => Promise.resolve());
let turn = 0;
function inTurn<T>(body: () => Promise<T>): Promise<T> {
  const lane = turn++ % lanes.length;
  const run = lanes[lane]!.then(body);
  lanes[lane] = run.then(
    () => {},
    () => {},
  );
  return run;
}

/** A home with what a command finds there, before it runs. */
export type Home = () => Promise<string>;
export const emptyHome: Home = async () => temporary();
export const homeWith =
  (files: Files): Home =>
  async () =>
    put(temporary(), files);

/** A command line in a process of its own. `HOME` in arguments and environment is the home. */
export function command(
  what: string,
  args: readonly string[],
  ends: number,
  says: RegExp,
  { home = emptyHome, env = {} }: { readonly home?: Home; readonly env?: NodeJS.ProcessEnv } = {},
): Case {
  const make = async () => {
    const folder = await home();
    const placed = (text: string) => text.replaceAll('HOME', folder);
    const named = Object.fromEntries(Object.entries(env).map(([name, value]) => [name, placed(value ?? '')]));
    const ran = await keeping(folder, () => backspin(folder, args.map(placed), named));
    assert.doesNotMatch(ran.stderr, /^\s+at |does not know/m, 'a stack trace, or an error that nobody thought of');
    assert.ok(!existsSync(join(folder, 'logs', 'cli.log')), 'an error that nobody thought of');
    return { ends: ran.code ?? 0, says: ran.code === 0 ? ran.stderr + ran.stdout : ran.stderr || ran.stdout };
  };
  return { what, ends, says, make: () => inTurn(make) };
}

/** How `body` ends: it throws, or gives what it has made of the mistake. */
export async function answerOf(body: () => Promise<string>): Promise<Answer> {
  try {
    return { ends: 'goes on', says: await body() };
  } catch (error) {
    if (error instanceof BackspinError) return { ends: error.type, says: error.message };
    throw error;
  }
}

/** A part of the product, called in this process. */
export const inside = (what: string, ends: End, says: RegExp, body: () => Promise<string>): Case => ({
  what,
  ends,
  says,
  make: () => answerOf(body),
});
