/** What workers and trainers write while a step runs, altered under their hands; records that do not fit the step. */
import { appendFileSync, mkdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { prepareTraining } from '../../steps/train.ts';
import { resolve } from '../../steps/resolve.ts';
import { Slots } from '../../devices/slots.ts';
import { train } from '../../devices/trainer.ts';
import type { StepCall } from '../../schemas/call.ts';
import { sha256 } from '../../schemas/canonical.ts';
import { openStore } from '../../store/local.ts';
import { spec } from '../support/devices.ts';
import { bench } from '../support/memory.ts';
import { aboutModel, put as putRecords, record } from '../support/store.ts';
import { temporary } from '../cli/cli.ts';
import { command, inside, keeping, put, type Case, type End } from './case.ts';
import { mapped, type Mapped } from './mapped.ts';
import { toyHome } from './toy.ts';

const never = new AbortController().signal;
const numbers = [{ n: 1 }, { n: 2 }, { n: 3 }];

/** A step that has ended but for its commit, altered. */
const step = (what: string, ends: End, says: RegExp, alter: (step: Mapped) => Promise<string>): Case =>
  inside(what, ends, says, async () => {
    const step = await mapped('toy.double', numbers);
    await step.batch();
    return alter(step);
  });

const slots = (home: string) => new Slots({ home, pool: 'cpu', groups: [[]], reapAfter: 600_000 });

/** A training that has ended, whose events are these: its sums. */
const events = (what: string, lines: readonly string[], says: RegExp): Case =>
  inside(what, 'goes on', says, async () => {
    const home = put(temporary(), { 'run/events.jsonl': `${lines.join('\n')}\n`, 'run/model/config.json': '{}' });
    const run = join(home, 'run');
    await using slot = await slots(home).acquire(never);
    const options = { slot, key: 'k', attempt: 1, spec: spec(run), python: 'none', trainerPath: 'none', lifeline: 'none', signal: never };
    return keeping(home, async () => JSON.stringify(await train(options)));
  });
const said = (step: number, more: object = {}) =>
  JSON.stringify({ v: 1, event: 'step', step, loss: 1, learningRate: 1 / step, tokens: 10, seconds: 0.5, ...more });
const two =
  /"loss":1,"lastLearningRate":0\.5,"truncated":0,.*"steps":\[\{[^}]*"step":1,[^}]*\},\{[^}]*"step":2,[^}]*\}\],"tokens":20,"seconds":1/;

export const work: readonly Case[] = [
  step(
    'a line of a journal was overwritten',
    'ArtifactDamaged',
    /00000\.jsonl has a line that is no entry of a journal: delete the file and retry the step/,
    async ({ journal, result, batch }) => {
      rmSync(result);
      writeFileSync(journal, readFileSync(journal, 'utf8').replace('{', '#'));
      return keeping(join(journal, '..'), async () => JSON.stringify(await batch()));
    },
  ),
  step('the last line of a journal was torn', 'goes on', /^3 of 3$/, async ({ journal, result, batch, commit }) => {
    rmSync(result);
    appendFileSync(journal, '{"r":"0123');
    const { in: entered } = await batch();
    return `${((await commit()).result as { rows: number }).rows} of ${entered}`;
  }),
  step('the result of a batch was cut', 'goes on', /^3 of 3$/, async ({ result, batch, commit }) => {
    truncateSync(result, 40);
    const { in: entered } = await batch();
    return `${((await commit()).result as { rows: number }).rows} of ${entered}`;
  }),
  step(
    'the result of a batch is gone before its commit',
    'ArtifactMissing',
    /00000\.json, a batch of step r1\/mapped, is gone or not whole: retry the step, and it runs again/,
    async ({ result, commit }) => {
      rmSync(result);
      return JSON.stringify(await commit());
    },
  ),
  inside(
    'a record lacks what an operator reads',
    'goes on',
    /^invalid: toy\.double cannot read it: n is missing; expected a number$/,
    async () => {
      const step = await mapped('toy.double', [{ n: 1 }, { m: 2 }]);
      await step.batch();
      return (await step.dropped()).join();
    },
  ),
  inside('a record lacks what a template renders', 'goes on', /"rows":1,/, async () => {
    const { services, context } = await bench({ reply: () => '' });
    const from = await services.store.putModel(put(temporary(), { 'config.json': '{}', 'model.safetensors': 'weights' }), aboutModel);
    const data = await putRecords(services.store, [record({ instruction: 'a', response: 'b' }), record({ instruction: 'a' })]);
    const inputs = {
      from,
      data,
      template: 'humpback.toInstruction',
      objective: 'sft',
      learningRate: 1,
      length: { steps: 1 },
      batch: 1,
      maxTokens: 8,
      lora: null,
      adapter: 'merge',
    };
    const call: StepCall = { verb: 'train', operation: 'sft', path: 'backward', label: 'backward', arm: null, round: null, inputs };
    const registry = await services.registry([]);
    return keeping(services.home, async () =>
      JSON.stringify(await prepareTraining(services.store, registry, await resolve(call, context, registry), context)),
    );
  }),
  inside('the file of a device group was cut', 'goes on', /^cpu-0$/, async () => {
    const home = put(temporary(), { 'devices/cpu-0.json': '{"slot":"cpu-0","kin' });
    return (await slots(home).acquire(never)).name;
  }),
  events('an event that nobody knows', [said(1), '{"v":1,"event":"lunch"}', said(2)], two),
  events('events of a newer trainer', [said(1), said(2), said(3, { v: 2 })], two),
  events('an event torn by a kill', [said(1), '{"v":1,"event":"st', said(2)], two),
  events('steps that are said twice after a resume', [said(1), said(2), said(1), said(2)], two),
  events('a loss that is not a number', [said(1), said(2).replace('"loss":1', '"loss":NaN'), said(2)], two),
  command('status of a training with a torn event', ['status', 'toy'], 0, /forward +7 of 40 steps, loss 1\.500/, {
    home: toyHome(async ({ paths }) => {
      const store = await openStore(paths.root);
      const toy = (await store.experiment('toy'))!;
      const key = sha256('running');
      const forward = { ...toy.steps.at(-1)!, state: 'running' as const, stepKey: key, result: null };
      await store.putExperiment({ ...toy, state: 'running', steps: [...toy.steps.slice(0, -1), forward] });
      mkdirSync(join(paths.work(key), 'run'), { recursive: true });
      const start = '{"v":1,"event":"start","pid":1,"resumedFrom":null,"steps":40}';
      writeFileSync(join(paths.work(key), 'run/events.jsonl'), `${start}\n{"v":1,"ev\n${said(7, { loss: 1.5 })}\n`);
    }),
  }),
];
