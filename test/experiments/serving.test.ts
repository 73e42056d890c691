import { join } from 'node:path';
import test from 'ava';
import { loadExperiment, rebind } from '../../experiments/config.ts';
import { fault, sound, write } from './written.ts';

const python = join(import.meta.dirname, '../support/fake-vllm.mjs');
const engine = (line: string) => `${sound}serving: { ${line} }\n`;

test('the options of an engine are those of that engine', async (t) => {
  for (const [line, says] of [
    ['engine: vlm', /serving\.engine: is "vlm", which is none of embedded, vllm; the nearest is "vllm"/],
    ['tensorParallel: 2', /serving\.tensorParallel: it does not go with the other keys/],
    ['engine: vllm, threads: 1', /serving\.threads: it does not go with the other keys/],
    ['engine: vllm, arguments: { port: 1 }', /arguments\.port: the key does not fit: --port is for backspin to set$/],
    ['engine: vllm, arguments: { max-num-seqs: 1 }', /--max-num-seqs is for backspin to set: use `slots`/],
    ['engine: vllm, arguments: { max-lora-rank: 8 }', /--max-lora-rank is for backspin to set: use `maxLoraRank`/],
    ['engine: vllm, arguments: { max_num_seqs: 1 }', /written without dashes before it and with hyphens in it/],
  ] as const)
    t.regex(await fault(t, engine(line)), says);
});

test('vLLM is bound to the version that is here; where there is none, its absence is said at once, with both remedies', async (t) => {
  const { bound } = await loadExperiment(write(engine(`engine: vllm, python: ${python}`)));
  t.like(bound.serving, { engine: 'vllm', version: '0.0.1', dtype: 'bfloat16' });
  const fork = await rebind(bound, [], 'child');
  t.deepEqual(fork.bound.serving, bound.serving);
  t.regex(
    await fault(t, engine('engine: vllm, python: /nowhere/python')),
    /serving\.engine: \/nowhere\/python has no vLLM .*install it there.*Or say its `version`/,
  );
  const elsewhere = await loadExperiment(write(engine('engine: vllm, version: 0.33.0')));
  t.like(elsewhere.bound.serving, { version: '0.33.0', python: null });
});

test('vLLM has room for the adapters that the experiment will train, unless the file says otherwise', async (t) => {
  const lora = ['parameters.sft.lora={ rank: 24, alpha: 16 }'];
  const here = `engine: vllm, python: ${python}`;
  const rankOf = async (line: string, sets: string[]) => {
    const { serving } = (await loadExperiment(write(engine(line)), sets)).bound;
    return 'maxLoraRank' in serving ? serving.maxLoraRank : 'none';
  };
  t.is(await rankOf(here, lora), 24);
  t.is(await rankOf(here, []), 'none');
  t.is(await rankOf(`${here}, maxLoraRank: 0`, lora), 0);
  t.is(await rankOf('engine: embedded', lora), 'none');
  const { bound } = await loadExperiment(write(`${engine(here)}roles: { scorer: { maxLoraRank: 0 } }\n`), lora);
  t.like(bound.roles['scorer'], { maxLoraRank: 0 });
  t.deepEqual((await rebind(bound, [], 'child')).bound.roles, bound.roles);
});

test('a role of another engine inherits only what both have', async (t) => {
  const { bound } = await loadExperiment(
    write(`${engine(`engine: vllm, python: ${python}, slots: 8, pool: big`)}roles: { scorer: { engine: embedded, threads: 2 } }\n`),
  );
  t.deepEqual(bound.roles['scorer'], { engine: 'embedded', pool: 'big', slots: 8, replicas: 1, threads: 2, maxModelLength: null });
  t.deepEqual((await rebind(bound, [], 'child')).bound.roles, bound.roles);
});
