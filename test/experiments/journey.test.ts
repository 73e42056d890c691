/** The journey of a record: ancestors, descendants, drops, and what was asked. */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'ava';
import { journeyOf } from '../../experiments/journey.ts';
import { sha256 } from '../../schemas/canonical.ts';
import { questionOf } from '../../steps/model-calls.ts';
import { batchesFolder } from '../../steps/batch-files.ts';
import { judgedHome, type Judged } from '../support/judged.ts';

let home: Judged;
test.before(async () => {
  home = await judgedHome();
});
const journey = async (id: string) => journeyOf(home.store, (await home.store.experiment('judged'))!, id);

test('a journey goes from the source over every step to what was made of the record, with its file and line', async (t) => {
  const { origin, events } = await journey(home.pairs[3]!.id);
  t.is(origin, 'texts.md:4');
  t.deepEqual(
    events.map(({ path, what, relation }) => `${path} ${what} ${relation}`),
    [
      'data-corpus kept ancestor',
      'backtranslate kept itself',
      ...[1, 2].flatMap((round) => [
        `r${round}/judge kept descendant`,
        `r${round}/curated kept descendant`,
        `r${round}/forward learnt descendant`,
      ]),
    ],
  );
  t.deepEqual(events[2]!.value, home.judged[3]!.value);
});

test('a drop ends the journey, with its reason and evidence', async (t) => {
  const { events } = await journey(home.pairs[9]!.id);
  t.like(events.at(-1), { path: 'r2/judge', what: 'dropped', relation: 'itself', reason: 'no-score', evidence: 'I like it' });
  const poor = await journey(home.judged[0]!.id);
  t.like(poor.events.at(-1), { path: 'r2/curated', what: 'dropped', reason: 'where', evidence: 'score is 1' });
});

test('a journey has the prompt that a model was asked with, and the reply where a journal has it', async (t) => {
  const pair = home.pairs[3]!;
  const judge = async () => (await journey(pair.id)).events.find(({ path }) => path === 'r1/judge')!.asked!;
  const { exchanges, source, changed } = await judge();
  t.is(source, pair.id);
  t.deepEqual(changed, []);
  t.like(exchanges[0], { role: 'scorer', reply: null, sampling: { temperature: 0 } });
  const { prompt, sampling } = exchanges[0]!;
  const said = JSON.stringify(prompt);
  t.true(said.includes('What of 3?') && said.includes('Text 3 about rivers.'), said);

  const folder = join(batchesFolder(home.store, sha256('r1/judge')), '0-x');
  await mkdir(folder, { recursive: true });
  const messages = 'messages' in prompt ? prompt.messages : [];
  const n = `${questionOf('chat', 'scorer', messages, sampling!)}/0`;
  await writeFile(
    join(folder, '00000.jsonl'),
    `${JSON.stringify({ r: `0/${pair.id}`, n, reply: { text: 'Score: 4', finish: 'stop' }, tokens: 3 })}\n`,
  );
  t.is((await judge()).exchanges[0]!.reply, 'Score: 4');
});

test('the beginning of an id is enough if it is one record; else the others are named', async (t) => {
  const { id } = home.pairs[3]!;
  t.is((await journey(id.slice(0, 10))).id, id);
  await t.throwsAsync(journey('ffffffffffff'), { message: /No record of judged has an id that begins with "ffffffffffff"/ });
  await t.throwsAsync(journey('f'), { message: /give at least its first four characters/ });
});
