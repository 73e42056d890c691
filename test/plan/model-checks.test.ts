/** What a trainer or a server would refuse is refused by the plan, before anything runs. */
import { cpSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import test from 'ava';
import { parse, stringify } from 'yaml';
import { loadExperiment } from '../../experiments/config.ts';
import { faultsOf, plan } from '../../plan/planner.ts';
import { openServices } from '../../steps/services.ts';
import { temporary } from '../cli/cli.ts';

const file = resolve(import.meta.dirname, '../support/miniature.yaml');
const rated = resolve(import.meta.dirname, '../../examples/textworld/base/rated');

/** A copy of the miniature's model with another config.json or tokenizer_config.json. */
function changed(name: string, change: object): string {
  const folder = join(temporary(), 'model');
  cpSync(rated, folder, { recursive: true });
  const path = join(folder, name);
  const before = JSON.parse(readFileSync(path, 'utf8')) as object;
  writeFileSync(path, JSON.stringify({ ...before, ...change }));
  return `models.base={ path: ${folder} }`;
}
const services = openServices(temporary());
const missing = async (...sets: string[]) => {
  const { bound } = await loadExperiment(file, sets);
  return faultsOf(await services, bound);
};

test('a model that fits passes a plan and a launch', async (t) => {
  const { bound } = await loadExperiment(file);
  t.deepEqual((await plan(await services, bound)).missing, []);
  t.deepEqual(await missing(), []);
});

test('what a training and the embedded server would refuse is refused at the plan, each with a step that would meet it', async (t) => {
  const yarn = { rope_parameters: { rope_type: 'yarn', factor: 2, rope_theta: 10_000 } };
  const lora = 'parameters.sft.lora={ rank: 4, alpha: 8, targets: [qproj] }';
  const faults = await missing(changed('config.json', yarn), 'parameters.sft.maxTokens=4096', lora);
  t.true(
    faults.some((fault) => /^Step \S+: Spec key 'maxTokens' is 4096, but the model's context is 256; lower it\.$/.test(fault)),
    faults.join(),
  );
  t.true(faults.some((fault) => /^Step \S+: The model in \S+ has rope type yarn, which the embedded server lacks/.test(fault)));
  const roomy = await missing(lora);
  t.regex(roomy.join(), /^Step \S+: Spec key 'lora\.targets' must name linear layers of the model, which has down_proj, .*, not qproj\.$/);
});

test('more slots than one pass of the embedded engine has, and a length without room for an answer, are refused in the file', async (t) => {
  await t.throwsAsync(loadExperiment(file, ['serving.slots=1025']), { message: /serving\.slots: .*at most 1024/ });
  await t.throwsAsync(loadExperiment(file, ['roles.scorer={ slots: 1025 }']), { message: /slots: .*at most 1024/ });
  await t.throwsAsync(loadExperiment(file, ['serving.maxModelLength=1']), { message: /serving\.maxModelLength/ });
  await t.notThrowsAsync(loadExperiment(file, ['serving.slots=1024']));
});

test('a new model is checked too', async (t) => {
  const dir = temporary();
  const text = parse(readFileSync(file, 'utf8')) as { models: object; modules: string[] };
  const architecture = { hiddenSize: 64, layers: 1, heads: 4, headSize: 16, kvHeads: 2, mlp: 64, context: 64, tied: true, std: 0.02 };
  const path = join(dir, 'new.yaml');
  const models = { base: { init: { architecture, tokenizer: rated, seed: 0 } } };
  writeFileSync(path, stringify({ ...text, modules: [resolve(import.meta.dirname, '../../examples/textworld/module.ts')], models }));
  const faults = async () => (await faultsOf(await services, (await loadExperiment(path)).bound)).join('\n');
  t.regex(await faults(), /'maxTokens' is 128, but the model's context is 64/);
  rmSync(dir, { recursive: true });
});

test('the own schema of an operator that has none is refused at plan', async (t) => {
  const given = async (set: string) => faultsOf(await services, (await loadExperiment(file, [set])).bound);
  const own = (name: string) => given(`parameters.sampling.${name}={ temperature: 0, maxTokens: 8, schema: true }`);
  t.deepEqual(await own('judge'), await given('parameters.rounds=2'));
  t.regex(
    (await own('backtranslate')).join('\n'),
    /^Step backtranslate samples with `schema: true`, and humpback\.backtranslate has no schema/m,
  );
});

test('a field of `extra` that the embedded engine would refuse is refused at plan; vLLM and servers of others are sent it', async (t) => {
  const given = async (...sets: string[]) =>
    (
      await missing('parameters.sampling.judge={ temperature: 0, maxTokens: 8, extra: { min_tokens: 2, logit_bias: { 7: 1 } } }', ...sets)
    ).join();
  t.regex(
    await given(),
    /^Step \S*judge samples with min_tokens, logit_bias, which the engine embedded does not take: .*"scorer" the engine vllm/,
  );
  t.is(await given('roles.scorer={ engine: vllm, version: "1" }'), '');
  t.is(await given('models.scorer={ external: { model: m, revision: "1", url: "http://a" } }'), '');
});

test('a plan says which settings of sampling a server will not get', async (t) => {
  const warnings = async (...sets: string[]) => (await plan(await services, (await loadExperiment(file, sets)).bound)).warnings.join('\n');
  const schema = 'parameters.sampling.judge={ temperature: 0, maxTokens: 8, schema: { type: object } }';
  const choice = 'parameters.sampling.judge={ temperature: 0, maxTokens: 8, choice: ["1", "2"] }';
  const scorer = (more: string) => `models.scorer={ external: { model: m, revision: "1", url: "http://a"${more} } }`;
  t.regex(await warnings(schema), /role "scorer": the engine embedded has no structured outputs for `schema`/);
  t.is(await warnings(choice), '');
  t.regex(await warnings(choice, scorer('')), /role "scorer": the server http:\/\/a has no structured outputs for `choice` \(if it has/);
  t.is(await warnings(choice, scorer(', structured: response_format')), '');
  t.regex(await warnings(scorer(', omit: [temperature]')), /role "scorer": the server http:\/\/a gets no temperature/);
});
