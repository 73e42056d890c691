/** Humpback with adapters, on vLLM, by the command: asked and judged by two roles on one server, which is killed twice. */
import test from 'ava';
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { View } from '../../experiments/view.ts';
import { slotRecord, type SlotRecord } from '../../schemas/devices.ts';
import { pathsOf } from '../../store/paths.ts';
import { homeOf, processesOf, starts } from './support.ts';

const FILE = join(import.meta.dirname, '../support/miniature.yaml');
const sets = [
  'serving={ engine: vllm, dtype: float32, slots: 2, arguments: { enforce-eager: true } }',
  'evaluation={}',
  'parameters.sft.lora={ rank: 8, alpha: 16 }',
  // Ten steps of an adapter teach it little: what it asks is short.
  'parameters.instructionChars={ min: 1, max: 1000 }',
  'parameters.minimum=1',
].flatMap((set) => ['--set', set]);
const { home, run, logs } = homeOf('cpu: { groups: 2, keepWarm: 1h }\n');
const store = pathsOf(join(home, 'store'));

const text = (path: string) => readFileSync(path, 'utf8');
/** What serves a step now. */
const serving = (): SlotRecord | undefined =>
  globSync(join(home, 'devices/*.json'))
    .map((path) => slotRecord.parse(JSON.parse(text(path))))
    .find(({ key }) => key.startsWith('serve.'));
const answered = ({ key }: SlotRecord): number =>
  globSync(join(store.work(key.split('.')[1]!), 'batches/*/*.jsonl')).reduce((sum, path) => sum + text(path).split('\n').length - 1, 0);

test.before(() => run('up', '--detach'));
test.after.always(() => run('down'));

test('two roles take turns on one vLLM; killed in the midst of each it is started again, and every record reaches its end', async (t) => {
  const ended = run('launch', FILE, ...sets, '--watch');
  const groups = new Set<number>();
  /** Kills a process of the server once it has answered some of a step other than `last`. */
  const kill = async (victim: string, last?: string): Promise<string> => {
    for (;;) {
      const slot = serving();
      if (slot && slot.key !== last && answered(slot) > 5) {
        groups.add(slot.pgid!);
        process.kill(processesOf(slot.pgid!).get(victim)!, 'SIGKILL');
        return slot.key;
      }
      await Promise.race([delay(20), ended.then((said) => Promise.reject(new Error(`it ended too early:\n${said}`)))]);
    }
  };
  await kill('VLLM::EngineCor', await kill('server'));
  await ended;

  const { state, steps } = JSON.parse(await run('status', 'miniature', '--json')) as View;
  t.is(state, 'completed');
  for (const { path, in: entered, kept, dropped } of steps.filter(({ kind }) => kind === 'map'))
    t.is(entered, kept! + Object.values(dropped).reduce((sum, count) => sum + count, 0), path);
  t.is(steps.find(({ path }) => path === 'backtranslate')!.in, 40);
  t.is(starts(logs()), 3, 'once, and again after each kill');
  t.true(logs().includes('Loaded new LoRA adapter'));

  for (const path of globSync(join(home, 'devices/*.json'))) groups.add(slotRecord.parse(JSON.parse(text(path))).pgid!);
  await run('down');
  t.is(groups.size, 3);
  for (const group of groups) t.deepEqual([...processesOf(group)], []);
});
