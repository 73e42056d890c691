/** How many fresh samples the records of a step took, told with its result. */
import test from 'ava';
import { resolve } from '../../steps/resolve.ts';
import type { StepCall } from '../../schemas/call.ts';
import { bench } from '../support/memory.ts';
import { aboutModel, folder, put, record } from '../support/store.ts';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** The attempt that gives a rating, by the pair's instruction. */
const rated: Readonly<Record<string, number>> = { first: 1, second: 2, never: Infinity };
const asked = new Map<string, number>();
let dies = Infinity;
const made = await bench({
  reply({ prompt }) {
    const content = 'messages' in prompt ? prompt.messages.at(-1)!.content : '';
    const name = Object.keys(rated).find((one) => content.includes(`about the ${one}`))!;
    if (--dies === 0) throw new Error('the machine is gone');
    asked.set(name, (asked.get(name) ?? 0) + 1);
    return asked.get(name)! >= rated[name]! ? 'Score: 5' : 'It is good.';
  },
});
const { services, context } = made;
const weights = join(folder(), 'model');
mkdirSync(weights);
writeFileSync(join(weights, 'config.json'), '{}');
const scorer = await services.store.putModel(weights, aboutModel);
const pairs = Object.keys(rated).map((name) => record({ instruction: `Tell about the ${name}.`, response: 'So.' }));
const call: StepCall = {
  verb: 'map',
  operation: 'humpback.rating',
  label: 'judge',
  path: 'judge',
  arm: null,
  round: null,
  inputs: {
    over: await put(services.store, pairs),
    with: { scorer },
    params: { prompts: { judge: 'humpback.curation' }, sampling: { temperature: 1, maxTokens: 9 }, attempts: 3 },
  },
};

test('the output of a step tells the attempts of its records, those of a record that was killed in its midst once', async (t) => {
  dies = 4;
  await t.throwsAsync(made.perform(call));
  await made.perform(call);
  const { stepKey } = await resolve(call, context, await services.registry([]));
  const { attempts, requests, kept, dropped } = (await services.store.output(stepKey))!;
  t.deepEqual({ attempts, requests, kept, dropped }, { attempts: 1 + 2 + 3, requests: 6, kept: 2, dropped: { 'no-score': 1 } });
});
