import test from 'ava';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { hubEnvironment, neededEnvironment } from '../../devices/environment.ts';
import { Slots } from '../../devices/slots.ts';
import { place, until } from '../support/devices.ts';

test('of the environment a subprocess gets what it computes with, and no key', (t) => {
  const needed =
    'PATH HOME LANG LC_ALL TMPDIR CUDA_HOME CUDA_VISIBLE_DEVICES NVIDIA_VISIBLE_DEVICES HF_HOME HF_HUB_CACHE TORCH_HOME TORCHINDUCTOR_CACHE_DIR PYTORCH_CUDA_ALLOC_CONF VLLM_CPU_KVCACHE_SPACE http_proxy HTTPS_PROXY no_proxy ATEN_CPU_CAPABILITY ONEDNN_MAX_CPU_ISA MKL_CBWR OMP_NUM_THREADS TOKENIZERS_PARALLELISM LD_LIBRARY_PATH BACKSPIN_HOME BACKSPIN_LIFELINE'.split(
      ' ',
    );
  const kept =
    'JUDGE_KEY OPENAI_API_KEY AWS_SECRET_ACCESS_KEY AWS_ACCESS_KEY_ID HF_TOKEN HUGGINGFACE_HUB_TOKEN VLLM_API_KEY BACKSPIN_JUDGE_KEY TEMPORAL_API_KEY TEMPORAL_ADDRESS PGPASSWORD SSH_AUTH_SOCK DATABASE_URL MY_JUDGE'.split(
      ' ',
    );
  const all = Object.fromEntries([...needed, ...kept].map((name) => [name, 'x']));
  t.deepEqual(Object.keys(neededEnvironment(all)), needed);
});

test('the processes on a device group never see the keys of external servers', async (t) => {
  const p = place(t);
  process.env['JUDGE_KEY'] = 'a secret';
  process.env['ATEN_CPU_CAPABILITY'] = 'default';
  t.teardown(() => delete process.env['JUDGE_KEY']);
  await using slot = await new Slots({ home: p.home, pool: 'cpu', groups: [[]] }).acquire(new AbortController().signal);
  const log = join(p.folder, 'log');
  const child = await slot.launch(
    { kind: 'train', key: 'k', attempt: 1, folder: p.folder },
    { command: ['env'], env: { OWN: 'given' }, lifeline: p.lifeline.path, log, signal: new AbortController().signal },
  );
  await child.exited;
  const said = await until(() => readFileSync(log, 'utf8'));
  t.regex(said, /^OWN=given$/m);
  t.regex(said, /^ATEN_CPU_CAPABILITY=default$/m);
  t.notRegex(said, /secret/);
  await slot.stop(child, 0);
});

test('a download from the Hub gets its token too, and no other secret', (t) => {
  const all = { PATH: '/bin', HF_HOME: '/hf', HF_ENDPOINT: 'http://hub', HF_HUB_OFFLINE: '0', HF_TOKEN: 'hf', HF_TOKEN_PATH: '/hf/token' };
  t.deepEqual(hubEnvironment({ ...all, JUDGE_KEY: 'sk', AWS_SECRET_ACCESS_KEY: 'aws' }), all);
});
