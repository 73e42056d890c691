/** Options of the command line, and how their values are read. */
import { InvalidArgumentError, Option } from 'commander';

export const integerOption =
  (least: number, most = Number.MAX_SAFE_INTEGER) =>
  (text: string) => {
    const number = text.trim() === '' ? NaN : Number(text);
    if (Number.isInteger(number) && number >= least && number <= most) return number;
    const limit = most === Number.MAX_SAFE_INTEGER ? '' : ` and at most ${most}`;
    throw new InvalidArgumentError(`a whole number of at least ${least}${limit} is needed.`);
  };
export const port = integerOption(1, 65_535);
export const gigabytes = (text: string) => {
  const number = text.trim() === '' ? NaN : Number(text);
  if (number >= 0) return number;
  throw new InvalidArgumentError('a number of gigabytes is needed.');
};
export const time = (text: string) => {
  const [, number, unit] = /^(\d+)([smh])$/.exec(text) ?? [];
  if (number === undefined || Number(number) === 0) throw new InvalidArgumentError('a time such as 30s, 5m or 2h is needed.');
  return Number(number) * { s: 1_000, m: 60_000, h: 3_600_000 }[unit as 's' | 'm' | 'h'];
};
const listen = (text: string) => {
  const [, host = '127.0.0.1', number] = /^(?:(.+):)?(\d+)$/.exec(text) ?? [];
  return { host, port: port(number ?? '') };
};
export const collect = (text: string, before: readonly string[] | undefined) => [...(before ?? []), text];
export const setOption = () =>
  new Option('--set <path=value>', 'change one value of the file, such as parameters.rounds=3 (repeatable)')
    .argParser(collect)
    .default([], 'none');
export const metricsOption = () =>
  new Option('--metrics <port>', 'serve metrics to Prometheus, each worker from this port on, such as 9464 or 0.0.0.0:9464').argParser(
    listen,
  );
export const json = ['--json', 'print one JSON document'] as const;
