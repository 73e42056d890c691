/** The one place where an error becomes a sentence on stderr and an exit code. */
import { appendFileSync, mkdirSync } from 'node:fs';
import { BackspinError } from '../schemas/errors.ts';
import { inHome } from './home.ts';

/** Gives the exit code. */
export function report(error: unknown): number {
  if (error instanceof BackspinError) {
    console.error(error.message);
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
