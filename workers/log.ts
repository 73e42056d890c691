/** What a worker logs: lines for people, or JSON for log collectors (BACKSPIN_LOG_FORMAT=json). */
import { DefaultLogger, type LogEntry, type Logger } from '@temporalio/worker';
import { pino } from 'pino';

/** Warnings and errors go to stderr. Those of an activity name its experiment and step. */
export function workerLogger(): Logger {
  const format = process.env['BACKSPIN_LOG_FORMAT'] || 'text';
  if (format === 'json') return new DefaultLogger('WARN', jsonLines());
  if (format === 'text') return new DefaultLogger('WARN', (entry) => void process.stderr.write(lineOf(entry)));
  process.stderr.write(`BACKSPIN_LOG_FORMAT is ${format}, and must be text or json.\n`);
  process.exit(64);
}

function jsonLines(): (entry: LogEntry) => void {
  const { isoTime } = pino.stdTimeFunctions;
  const serializers = { error: pino.stdSerializers.err };
  const lines = pino({ timestamp: isoTime, formatters: { level: (level) => ({ level }) }, serializers }, pino.destination(2));
  return ({ level, message, meta }) => lines[level === 'ERROR' ? 'error' : 'warn'](meta ?? {}, message);
}

function lineOf({ level, message, meta = {} }: LogEntry): string {
  const { error, ...about } = meta;
  const why = error instanceof Error ? `: ${error.message}` : '';
  return `${new Date().toISOString()} ${level} ${message}${why} ${JSON.stringify(about)}`.slice(0, 1_000) + '\n';
}
