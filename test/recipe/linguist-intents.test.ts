/** Rule V8 of LINGUIST: a first student checks the intents of what the generator writes. */
import test from 'ava';
import type { Recognized, Sample, Utterance } from '../../operators/linguist/records.ts';
import { bilingual, inputs, made, outputOf, ran, records, run, small } from '../support/linguist.ts';
import { beyond, planOf } from '../support/planned.ts';

const checked = await run({ intents: ['GetWeather'], draws: 1, students: 1, passes: 1, checkIntent: true });
const across = await run({ projection: { languages: ['de'], samples: 3 }, checkIntent: true }, bilingual);
const cell = 'GetWeather/draw-0';

test('3 V8: an utterance that is of another intent to a first student is dropped, and counted by this reason', async (t) => {
  const written = await records<Sample>(checked, `${cell}/pass-1/annotate`);
  const { in: entering, kept, dropped } = await outputOf(checked, `${cell}/pass-1/recognize`);
  t.is(entering, written.length);
  t.deepEqual(dropped, { 'v8-intent': entering - kept });
  t.true(dropped['v8-intent']! > 0 && kept > 0);
  const projected = await outputOf(across, 'de/recognize');
  t.is(projected.in, projected.kept + projected.dropped['v8-intent']!);
});

test('8 an accepted utterance has the intent and the tags that the first student gives it', async (t) => {
  for (const { rules, predicted, tokens } of await records<Recognized>(checked, `${cell}/pass-1/novel`)) {
    t.like(rules, { V6: true, V8: true });
    t.deepEqual(predicted, { intent: 'GetWeather', tags: tokens.map(() => 'O') });
  }
});

test('the first student has learnt the other intents and the starters, and nothing that was generated', async (t) => {
  const asked = inputs(checked, `${cell}/pass-1/recognize`).with['tagger']!;
  t.is(asked.digest, checked.step(`${cell}/first/student-0/student`).model.digest);
  const learnt = await records<Utterance & { raw?: string }>(checked, `${cell}/first/rows`);
  t.is(learnt.length, 60 + 10 * small.upsample);
  t.true(learnt.every(({ raw }) => raw === undefined));
  t.is((await records(across, 'first/rows')).length, (await records(across, 'unseen')).length);
  t.false(ran.performed.some(({ call }) => /recognize|first/.test(call.path)));
});

test('what it does with V8 is within its longest plan', async (t) => {
  for (const one of [checked, across]) t.deepEqual(await beyond(await planOf('linguist', made, one.given), one, made), []);
});
