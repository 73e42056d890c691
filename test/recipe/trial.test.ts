/** The recipe of `backspin try`: the steps of another experiment, on few records. */
import test from 'ava';
import { RecipeRuntime, type StepEngine } from '../../recipe/runtime.ts';
import { refsIn, type StepCall } from '../../schemas/call.ts';
import { trial, type TrialConfig } from '../../workflows/recipes/trial.ts';

const planned = (name: string) => ({ kind: 'dataset', digest: `planned:${name}`, rows: 0 }) as const;
const real = (digest: string) => ({ kind: 'dataset', digest, rows: 9 }) as const;

test('each step reads the results of those before it, in its parameters too; each map reads few records', async (t) => {
  const calls: StepCall[] = [];
  const perform: StepEngine['perform'] = async (call) => {
    calls.push(call);
    return call.operation === 'mine.split' ? { left: real('left'), right: real('right') } : real(call.path);
  };
  const config: TrialConfig = {
    records: 5,
    imports: { teacher: 'planned:teacher' },
    teacher: { kind: 'model', digest: 'weights' },
    steps: [
      {
        path: 'halves',
        verb: 'reduce',
        operation: 'mine.split',
        inputs: { inputs: { of: real('corpus') }, params: {} },
        planned: { left: planned('left'), right: planned('right') },
      },
      {
        path: 'chosen',
        verb: 'reduce',
        operation: 'std.select',
        inputs: { inputs: { of: planned('left') }, params: { take: { as: [planned('right')] } } },
        planned: planned('chosen'),
      },
      {
        path: 'r1/asked',
        verb: 'map',
        operation: 'mine.ask>mine.tidy',
        inputs: {
          over: planned('chosen'),
          with: { teacher: { kind: 'model', digest: 'planned:teacher' } },
          params: { shots: planned('right'), prompt: 'mine.prompt' },
        },
        planned: planned('asked'),
      },
    ],
  };
  const { run } = new RecipeRuntime({ perform, shared: () => {} } as unknown as StepEngine);
  t.like(await trial(run, config), { tried: { digest: 'r1/asked' } });
  t.deepEqual(
    calls.map(({ path, verb, operation, inputs }) => [path, verb, operation, refsIn(inputs).map(({ digest }) => digest)]),
    [
      ['halves', 'reduce', 'mine.split', ['corpus']],
      ['chosen', 'reduce', 'std.select', ['left', 'right']],
      ['r1/asked-first', 'reduce', 'std.first', ['chosen']],
      ['r1/asked', 'map', 'mine.ask>mine.tidy', ['r1/asked-first', 'weights', 'right']],
    ],
  );
  t.deepEqual(calls[2]!.inputs['params'], { count: 5 });
  t.is((calls[3]!.inputs['params'] as { prompt: string }).prompt, 'mine.prompt');
});
