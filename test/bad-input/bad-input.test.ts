/** Mistakes of all kinds, each with its answer: a sentence that says what is wrong, where, and what to do; the right end; nothing lost. */
import test from 'ava';
import { altered } from './altered.ts';
import type { Case } from './case.ts';
import { commands } from './commands.ts';
import { config } from './config.ts';
import { data } from './data.ts';
import { environment } from './environment.ts';
import { launch } from './launch.ts';
import { models } from './models.ts';
import { references } from './references.ts';
import { servers } from './servers.ts';
import { trainer } from './trainer.ts';
import { work } from './work.ts';

const families: Readonly<Record<string, readonly Case[]>> = {
  'experiment file': config,
  reference: references,
  'data file': data,
  model: models,
  launch,
  'command line': commands,
  environment,
  'altered file': altered,
  'work in progress': work,
  'model server': servers,
  trainer,
};

const all = Object.entries(families).flatMap(([family, cases]) => cases.map((one) => ({ family, ...one })));
for (const [i, { family, what, make, ends, says }] of all.entries()) {
  test(`${i + 1} ${family}: ${what}`, async (t) => {
    const answer = await make(t);
    t.is(answer.ends, ends, answer.says);
    t.regex(answer.says, says);
  });
}
