/** The text world through everything: what Humpback promises of lineage and sharing, by the command a user types. Its models are trained
 *  for ten steps, so nothing here may hang on what they say: the judge gives every pair an expected rating, whatever it would write,
 *  and the shortest instruction does. */
import test from 'ava';
import { execFile } from 'node:child_process';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { pythonOf } from '../../devices/python.ts';
import type { Plan } from '../../schemas/plan.ts';
import type { StepView, View } from '../../experiments/view.ts';
import { openStore } from '../../store/local.ts';
import type { Store } from '../../store/store.ts';
import type { ModelRef } from '../../schemas/call.ts';
import type { Rec } from '../../recipe/define.ts';
import { backspin, temporary } from '../cli/cli.ts';

const FILE = resolve(import.meta.dirname, '../support/miniature.yaml');
const set = (...changes: string[]) => changes.flatMap((change) => ['--set', change]);
const JUDGED = set('parameters.judge=expected', 'parameters.instructionChars={ min: 1, max: 800 }');
const BOTH_ARMS = [...JUDGED, ...set('parameters.arms=[random]')];
/** One round, with another choice of the pairs. */
const keeping = (threshold: number) => [...JUDGED, ...set(`parameters.keep={ threshold: ${threshold} }`, 'parameters.rounds=1')];
const home = temporary();
let store: Store;
let view: View;

async function run(...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await backspin(home, args);
  if (code !== 0) throw new Error(`backspin ${args.join(' ')}: exit code ${code}\n${stdout}${stderr}`);
  return stdout;
}
const status = async (name: string) => JSON.parse(await run('status', name, '--json')) as View;
const step = (path: string, of = view): StepView => of.steps.find((one) => one.path === path)!;
const output = async (path: string) => (await store.output(step(path).stepKey!))!;
const model = async (path: string) => store.model((await output(path)).result as ModelRef);
async function records(path: string, of = view): Promise<Rec<{ score: number }>[]> {
  const all: Rec<{ score: number }>[] = [];
  for await (const record of store.read({ digest: step(path, of).output!.digest })) all.push(record as Rec<{ score: number }>);
  return all;
}
const lowest = async () => Math.min(...(await records('r1/judge')).map(({ value }) => value.score));
const performed = (of: View, round: number) =>
  of.steps
    .filter((one) => !one.cached && (one.round ?? 0) <= round)
    .map((one) => one.path)
    .sort();

test.before(async () => {
  await run('up', '--detach', '--pool', 'cpu=2');
  await run('launch', FILE, ...BOTH_ARMS, '--watch');
  store = await openStore(join(home, 'store'));
  view = await status('miniature');
});
test.after.always(() => backspin(home, ['down']));

test.serial('every record that enters a step leaves it as kept or dropped', (t) => {
  for (const { path, kind, in: entered, kept, dropped } of view.steps) {
    if (kind !== 'map' && !path.endsWith('curated')) continue;
    t.is(entered, kept! + Object.values(dropped).reduce((a, b) => a + b, 0), path);
  }
});

test.serial('H1 what is curated was rated best', async (t) => {
  for (const round of [1, 2]) {
    const curated = new Set((await records(`r${round}/curated`)).map(({ id }) => id));
    const judged = await records(`r${round}/judge`);
    t.is(curated.size, Math.floor(0.4 * judged.length));
    const scores = (kept: boolean) => judged.filter(({ id }) => curated.has(id) === kept).map(({ value }) => value.score);
    t.true(Math.min(...scores(true)) >= Math.max(...scores(false)));
  }
});

test.serial('H2 every model comes from the base, none from another', async (t) => {
  const base = ((await output('model-base')).result as ModelRef).digest;
  for (const path of ['backward', 'forward', 'r1/forward', 'r2/forward', 'r1/random/forward']) t.is((await model(path)).from, base, path);
});

test.serial('H3 the backward model is trained to ask, and each segment gets one instruction, once for all rounds', async (t) => {
  t.is((await model('backward')).template, 'textworld.toInstruction');
  const pool = await records('backtranslate');
  t.is(new Set(pool.map(({ from }) => from[0])).size, pool.length);
  const inputs = await Promise.all([1, 2].map(async (round) => (await output(`r${round}/judge`)).inputs));
  for (const digests of inputs) t.true(digests.includes(step('backtranslate').output!.digest));
});

test.serial('H4 the model of the round before is the judge', async (t) => {
  for (const [round, scorer] of [
    [1, 'forward'],
    [2, 'r1/forward'],
  ] as const) {
    t.true((await output(`r${round}/judge`)).inputs.includes(((await output(scorer)).result as ModelRef).digest));
  }
});

test.serial('H7 a threshold that keeps others asks nothing in its first round, as the plan says before', async (t) => {
  const all = keeping(await lowest());
  const plan = JSON.parse(await run('plan', FILE, ...all, '--json')) as Plan;
  await run('launch', FILE, ...all, '--name', 'lower', '--watch');
  const lower = await status('lower');
  t.is((await records('r1/curated', lower)).length, (await records('r1/judge')).length);
  const done = performed(lower, 1);
  t.deepEqual(done, ['r1/curated', 'r1/evaluate-curated', 'r1/evaluate-forward', 'r1/forward', 'r1/mixed']);
  t.true(done.every((path) => step(path, lower).kind !== 'map'));
  const planned = plan.steps.filter((one) => !one.cached && (one.round ?? 0) <= 1);
  t.deepEqual(
    done.filter((path) => !planned.some((one) => one.path === path)),
    [],
    'nothing was done that was not planned',
  );
  t.true(planned.every((one) => one.kind !== 'map'));
});

test.serial('a threshold that keeps the same runs select and nothing else', async (t) => {
  await run('launch', FILE, ...keeping((await lowest()) / 2), '--name', 'same', '--watch');
  t.deepEqual(performed(await status('same'), 1), ['r1/curated']);
});

test.serial('a fork from round 1 has the rounds of its parent up to there, and its own after', async (t) => {
  await run('fork', 'miniature', '--from-round', '1', ...set('parameters.keep={ share: 0.8 }'), '--name', 'forked');
  await run('watch', 'forked');
  const forked = await status('forked');
  const keys = (of: View, round: number) =>
    of.steps
      .filter((one) => one.round === round)
      .map(({ path, stepKey }) => `${path} ${stepKey}`)
      .sort();
  t.deepEqual(keys(forked, 1), keys(view, 1));
  t.true(step('r2/judge', forked).cached, 'the judge of round 2 is the parent’s model');
  t.not(step('r2/curated', forked).stepKey, step('r2/curated').stepKey);
  t.deepEqual(forked.parent, { name: 'miniature', round: 1 });
});

test.serial('launching what is done again does nothing', async (t) => {
  await run('launch', FILE, ...BOTH_ARMS, '--watch');
  t.deepEqual((await status('miniature')).steps, view.steps);
});

test.serial('with lora each model is an adapter of the one base, exported whole or alone', async (t) => {
  await run('launch', FILE, ...JUDGED, ...set('parameters.sft.lora={ rank: 8, alpha: 16 }'), '--name', 'lora', '--watch');
  const { steps } = await status('lora');
  const trained = steps.filter((one) => one.kind === 'train');
  const base = step('model-base').output!.digest;
  t.true(trained.length >= 3);
  for (const one of trained) t.is((await store.model(one.output!)).base, base, one.path);
  const [whole, alone, upon] = ['whole', 'alone', 'base'].map((name) => join(temporary(), name)) as [string, string, string];
  await run('export', 'lora', '--to', whole);
  await run('export', 'lora', '--adapter', '--to', alone);
  await run('export', 'lora', 'model-base', '--to', upon);
  const code = `import sys; from peft import PeftModel; from transformers import AutoModelForCausalLM as A; import torch; ids = torch.tensor([[5, 6, 7]]); w, a, b = sys.argv[1:]; print(torch.allclose(A.from_pretrained(w)(ids).logits, PeftModel.from_pretrained(A.from_pretrained(b), a)(ids).logits, atol=1e-4))`;
  const { stdout } = await promisify(execFile)(pythonOf().python, ['-c', code, whole, alone, upon], {
    env: { ...process.env, HF_HUB_OFFLINE: '1' },
  });
  t.is(stdout.trim(), 'True');
  const refused = await backspin(home, ['export', 'lora', 'model-base', '--adapter', '--to', join(temporary(), 'none')]);
  t.is(refused.code, 1);
  t.regex(refused.stderr, /is no adapter: leave --adapter away/);
});

test.serial('the exported model is a folder that transformers loads', async (t) => {
  const folder = join(temporary(), 'model');
  await run('export', 'miniature', '--to', folder);
  const code = `import sys; from transformers import AutoModelForCausalLM, AutoTokenizer; m = AutoModelForCausalLM.from_pretrained(sys.argv[1]); t = AutoTokenizer.from_pretrained(sys.argv[1]); ids = t.apply_chat_template([{"role": "user", "content": "x"}], add_generation_prompt=True, return_tensors="pt", return_dict=True); print(m.generate(**ids, max_new_tokens=2).shape[0])`;
  const { stdout } = await promisify(execFile)(pythonOf().python, ['-c', code, folder], { env: { ...process.env, HF_HUB_OFFLINE: '1' } });
  t.is(stdout.trim(), '1');
});
