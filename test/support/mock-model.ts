/** Runs a model server of known speed. `node mock-model.ts '{"slots":256,"milliseconds":50}'` prints its address; without options it
 *  answers at once, as fast as Node serves HTTP. */
import { createServer, type ServerResponse } from 'node:http';

export interface Speed {
  /** Concurrent requests; others wait, or are refused. Default: no limit. */
  readonly slots?: number;
  /** Median time of a request. Default: 0. */
  readonly milliseconds?: number;
  /** Standard deviation of the logarithm of that time. Default: 0, all the same. */
  readonly sigma?: number;
  /** Characters of each reply. Default: 3. */
  readonly characters?: number;
  /** Refuses requests beyond its slots with 429. In every `every` milliseconds it has only `slots` slots for `lasts` milliseconds, and
   *  then sends Retry-After in seconds. */
  readonly storm?: { readonly every: number; readonly lasts: number; readonly slots: number };
}
/** The reply of `/count`. */
export interface Count {
  /** Answered and refused requests. */
  readonly served: number;
  readonly refused: number;
  /** Milliseconds in which slots were busy, and their total since the first request: the capacity. */
  readonly worked: number;
  readonly offered: number;
}

const { slots = Infinity, milliseconds = 0, sigma = 0, characters = 3, storm } = JSON.parse(process.argv[2] ?? '{}') as Speed;
const count = { served: 0, refused: 0, worked: 0 };
let began: number | undefined;
const elapsed = () => (began === undefined ? 0 : performance.now() - began);

/** Milliseconds until the storm is over; 0 without a storm. */
const storming = () => (storm ? Math.max(0, storm.lasts - (elapsed() % storm.every)) : 0);
function offered(): number {
  if (!storm) return elapsed() * slots;
  const [whole, part] = [Math.floor(elapsed() / storm.every), elapsed() % storm.every];
  return elapsed() * slots - (whole * storm.lasts + Math.min(part, storm.lasts)) * (slots - storm.slots);
}

const reply = JSON.stringify({
  id: '1',
  object: 'chat.completion',
  created: 0,
  model: 'mock',
  choices: [
    { index: 0, message: { role: 'assistant', content: 'one '.repeat(characters / 4 + 1).slice(0, characters) }, finish_reason: 'stop' },
  ],
  usage: { prompt_tokens: 3, completion_tokens: 1, total_tokens: 4 },
});
const models = JSON.stringify({ object: 'list', data: [{ id: 'mock', object: 'model', max_model_len: 1_000_000 }] });

/** A normal sample by the Box-Muller transform. */
const normal = () => Math.sqrt(-2 * Math.log(1 - Math.random())) * Math.cos(2 * Math.PI * Math.random());

let working = 0;
const waiting: ServerResponse[] = [];
let first = 0;
function work(response: ServerResponse): void {
  if (storm && working >= (storming() > 0 ? storm.slots : slots)) return refuse(response);
  if (working >= slots) return void waiting.push(response);
  working++;
  const takes = milliseconds * Math.exp(sigma * normal());
  count.worked += takes;
  if (takes === 0) done(response);
  else setTimeout(done, takes, response);
}
function done(response: ServerResponse): void {
  working--;
  count.served++;
  response.end(reply);
  if (first === waiting.length) [waiting.length, first] = [0, 0];
  else work(waiting[first++]!);
}
function refuse(response: ServerResponse): void {
  count.refused++;
  response.statusCode = 429;
  if (storming() > 0) response.setHeader('retry-after', Math.ceil(storming() / 1000));
  response.end(JSON.stringify({ error: { message: 'too many requests' } }));
}

const server = createServer((request, response) => {
  response.setHeader('content-type', 'application/json');
  if (request.url === '/count') return response.end(JSON.stringify({ ...count, offered: offered() } satisfies Count));
  if (request.url === '/v1/models') return response.end(models);
  began ??= performance.now();
  request.on('end', () => work(response)).resume();
});
server.keepAliveTimeout = 60_000;
server.listen(0, '127.0.0.1', () => process.stdout.write(`http://127.0.0.1:${(server.address() as { port: number }).port}\n`));
