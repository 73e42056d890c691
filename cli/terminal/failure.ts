/** Turns an error into a sentence on stderr and an exit code. No other file does that. */
import { appendFileSync, mkdirSync } from 'node:fs';
import { BackspinError } from '../../schemas/errors.ts';
import { homeFolder, inHome } from '../../host/home.ts';

/** Prints an error and returns the exit code. */
export function reportError(error: unknown): number {
  const sentence = explainError(error);
  if (sentence !== undefined) {
    console.error(sentence);
    return 1;
  }
  console.error(`backspin met an error that it does not know: ${error instanceof Error ? error.message : String(error)}`);
  const log = inHome('logs', 'cli.log');
  try {
    mkdirSync(inHome('logs'), { recursive: true });
    appendFileSync(
      log,
      `${new Date().toISOString()} backspin ${process.argv.slice(2).join(' ')}\n${error instanceof Error ? error.stack : String(error)}\n`,
    );
    console.error(`Where it came from is in ${log}: please report it with that.`);
  } catch {
    console.error('Its place cannot be written down, because the log folder cannot be written.');
  }
  return 1;
}

/** Reasons for which the system refuses a file. */
const refusals: Readonly<Record<string, string>> = {
  ENOENT: 'it is not there',
  ENOTDIR: 'a part of the path is a file, not a folder',
  EEXIST: 'there is a file of that name',
  EISDIR: 'it is a folder',
  ERR_FS_EISDIR: 'it is a folder',
  EACCES: 'its permissions forbid it',
  EPERM: 'the system forbids it',
  EROFS: 'its disk can only be read',
  ENAMETOOLONG: 'it is too long',
  ENOSPC: 'the disk is full',
};

/** Returns the sentence for a known error, else undefined. */
export function explainError(error: unknown): string | undefined {
  if (error instanceof BackspinError) return error.message;
  const { code = '', path, message } = error as NodeJS.ErrnoException;
  const namespace = /\bNamespace (\S+) is not found/.exec(message)?.[1];
  if (namespace !== undefined) return `The Temporal server has no namespace ${namespace}: \`backspin setup-server\` makes it.`;
  if (path === undefined || !(code in refusals)) return undefined;
  const way = path.startsWith(homeFolder()) ? 'or set BACKSPIN_HOME to another folder' : 'or give another path';
  return `${path} cannot be used: ${refusals[code]} (${code}). Fix that, ${way}.`;
}
