/** CRAB on the text world: what it would do, whether its lessons are right, and what an annotator that never errs makes of the pairs. */
import test from 'ava';
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { lessons, toReply } from '../../examples/textworld/crab.ts';
import { constraintsOf, suffixesOf, undress, type Constraint } from '../../examples/textworld/forms.ts';
import { loadExperiment } from '../../experiments/config.ts';
import { parseConstraints, parseVerdict } from '../../operators/crab/parse.ts';
import type { Composed, Conversation, Lesson } from '../../operators/crab/records.ts';
import { plan } from '../../plan/planner.ts';
import type { Message } from '../../recipe/index.ts';
import { runInMemory } from '../../recipe/memory.ts';
import type { DatasetRef, ReportRef } from '../../schemas/call.ts';
import { openServices } from '../../steps/services.ts';
import { recipes } from '../../workflows/recipes/index.ts';
import { bench } from '../support/memory.ts';

const FILE = join(import.meta.dirname, '../../examples/textworld/crab.yaml');
const keeps = (response: string, name: string): boolean => constraintsOf(undress(response).form ?? 'plain').includes(name as Constraint);
const wordings = (name: string) => suffixesOf(name as Constraint).map((suffix) => suffix.trim());

test('the experiment on the text world can run, and trains the model and two arms', async (t) => {
  const { bound } = await loadExperiment(FILE);
  const { steps, missing, warnings } = await plan(await openServices(await mkdtemp(join(tmpdir(), 'backspin-crab-'))), bound);
  t.deepEqual([missing, warnings], [[], []]);
  const trained = steps.flatMap(({ path, kind }) => (kind === 'train' ? path : []));
  t.deepEqual(trained.toSorted(), ['annotator', 'no-reverse/sft', 'plain/sft', 'sft']);
});

test('every lesson is read as the recipe reads replies, and says what is true of its response', (t) => {
  const taught = [...(lessons.rows({ seed: 0, size: 'full' }, []) as Iterable<Lesson>)];
  const seen = new Set<string>();
  for (const lesson of taught) {
    const [task, asked, reply] = toReply.render(lesson).messages.map(({ content }) => content) as [string, string, string];
    const [first, response] = asked.split('\n') as [string, string];
    if (task === 'Name.') {
      const found = parseConstraints(reply, [], response)!;
      for (const name of first.split(' ')) {
        const text = found.find(({ type }) => type === name)?.text;
        t.is(text !== undefined, keeps(response, name), lesson.prompt);
        if (text !== undefined) t.true(wordings(name).includes(text));
      }
    }
    if (task === 'Check.') {
      const name = (['note', 'dash', 'quote', 'done'] as const).find((one) => wordings(one).includes(first))!;
      t.is(parseVerdict(reply), keeps(response, name) ? 'keep' : 'delete');
    }
    seen.add(task);
  }
  t.deepEqual([...seen].toSorted(), ['Ask.', 'Check.', 'Name.']);
});

test('an annotator that never errs names what the answers keep; the arm `plain` learns the pairs as they came', async (t) => {
  const { bound } = await loadExperiment(FILE, ['parameters.minimum=1']);
  const { services, perform } = await bench(
    {
      reply({ prompt }) {
        const [task, asked = ''] = (prompt as { readonly messages: readonly Message[] }).messages.map(({ content }) => content);
        const [first, response] = asked.split('\n') as [string, string];
        if (task === 'Ask.') return first;
        if (task === 'Name.')
          return JSON.stringify(
            Object.fromEntries(first.split(' ').map((name) => [name, keeps(response, name) ? wordings(name)[0] : 'NULL'])),
          );
        return task === 'Check.' ? '{"satisfaction":"YES"}' : 'nothing';
      },
    },
    { modules: bound.modules },
  );
  const { performed } = await runInMemory(recipes['crab']!, bound, perform);
  const result = (path: string) => performed.find(({ call }) => call.path === path)!.result;
  t.deepEqual((result('evaluate-data') as ReportRef).metrics, { namedPrecision: 1, namedRecall: 1 });
  const rows = async <T>(ref: DatasetRef) => {
    const all: T[] = [];
    for await (const { value } of services.store.read(ref)) all.push(value as T);
    return all;
  };
  const { forward } = result('compose') as unknown as { readonly forward: DatasetRef };
  const rowsForward = await rows<Composed>(forward);
  const whole = rowsForward.filter(({ messages }) => {
    const [asked, response] = messages.map(({ content }) => content) as [string, string];
    return constraintsOf(undress(response).form!).every((name) => wordings(name).some((text) => asked.includes(text)));
  });
  t.true(whole.length / rowsForward.length > 0.9, 'nearly all rows ask for the whole form of their answer');
  const plain = await rows<Conversation>(result('plain-pairs') as DatasetRef);
  t.is(plain.length, 288);
  t.true(plain.every(({ messages: [asked] }) => asked!.content.endsWith('?')));
});
