/** Back-and-Forth on the text world: what it would do, what its data allow where no model errs, and what its rewriter has learnt. */
import test from 'ava';
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { distil, documents, lessons, rewrite as rewritePrompt } from '../../examples/textworld/back-and-forth.ts';
import { isDraftOf } from '../../examples/textworld/drafts.ts';
import { isAdvert } from '../../examples/textworld/interviews.ts';
import { interviewTopics } from '../../examples/textworld/pretraining.ts';
import { topicKey, World } from '../../examples/textworld/world.ts';
import { loadExperiment } from '../../experiments/config.ts';
import { parseRewritten } from '../../operators/back-and-forth/parse.ts';
import type { Chat, Message } from '../../recipe/index.ts';
import { runInMemory } from '../../recipe/memory.ts';
import { plan } from '../../plan/planner.ts';
import type { ReportRef } from '../../schemas/call.ts';
import { openServices } from '../../steps/services.ts';
import { recipes } from '../../workflows/recipes/index.ts';
import { askFor, rewrite } from '../support/ideal.ts';
import { bench } from '../support/memory.ts';

const FILE = join(import.meta.dirname, '../../examples/textworld/back-and-forth.yaml');
const world = new World(0);
const textsOf = (rows: unknown) => [...(rows as Iterable<{ readonly text: string }>)].map(({ text }) => text);

test('the experiment on the text world can run, and trains a student for each arm', async (t) => {
  const { bound } = await loadExperiment(FILE);
  const { steps, missing, warnings } = await plan(await openServices(await mkdtemp(join(tmpdir(), 'backspin-drafts-'))), bound);
  t.deepEqual([missing, warnings], [[], []]);
  t.deepEqual(steps.flatMap(({ path, kind }) => (kind === 'train' ? path : [])).toSorted(), [
    'backward',
    'both/student',
    'distil/student',
    'filter/student',
    'forward',
    'rewrite/student',
  ]);
});

function reply({ role, prompt }: { readonly role: string; readonly prompt: object }): string {
  const [{ content: task }, { content }] = (prompt as { readonly messages: readonly [Message, Message] }).messages;
  if (role === 'backward') return askFor(content);
  if (role === 'model' || task === 'Answer.') return 'No answer.';
  const [, draft, instruction] = /^Answer: (.*) Question: (.*)$/.exec(content)!;
  return `[RES] ${rewrite(instruction!, draft!)} [/RES]`;
}

test('where no model errs, the filter removes adverts, and only what is rewritten from its draft is right', async (t) => {
  const sets = ['data.seed', 'data.documents', 'evaluation.forward', 'evaluation.backward', 'evaluation.pairs'];
  const { bound } = await loadExperiment(FILE, [...sets.map((path) => `${path}.params.size=miniature`), 'parameters.minimum=1']);
  const score = ({ continuation }: { readonly continuation: string }) => [
    { id: 0, logprob: isAdvert(continuation) ? -5 : -1, entropy: null },
  ];
  const { perform } = await bench({ reply, score }, { modules: bound.modules });
  const { performed } = await runInMemory(recipes['back-and-forth']!, bound, perform);
  const metricsOf = (path: string) => (performed.find(({ call }) => call.path === path)!.result as ReportRef).metrics;

  t.like(metricsOf('evaluate-pool'), { keptAdvertShare: 8 / 24 });
  for (const arm of ['both', 'rewrite']) t.like(metricsOf(`${arm}/evaluate-pairs`), { keptPrecision: 1, keptAdvertShare: 0 });
  const { keptPrecision, keptAdvertShare } = metricsOf('filter/evaluate-pairs') as Record<string, number>;
  t.true(keptPrecision! > 0 && keptPrecision! < 0.4, 'most drafts have clutter');
  t.is(keptAdvertShare, 0);
  t.like(metricsOf('distil/evaluate-pairs'), { keptPrecision: 0 });
});

test('the documents are a draft of every fact, and half as many adverts', (t) => {
  const told = textsOf(documents.rows({ seed: 0, size: 'full' }, []));
  t.deepEqual([told.length, told.filter(isAdvert).length], [864 + 432, 432]);
  const asked = told.filter((text) => !isAdvert(text)).map((text) => ({ instruction: askFor(text), response: text }));
  t.is(new Set(asked.map(({ instruction }) => topicKey(world.parseInstruction(instruction)!))).size, 864);
  t.true(asked.every((pair) => isDraftOf(world, pair)));
});

test('the rewriter has learnt to rewrite truly whatever it is asked, and to answer about interviewed things alone', (t) => {
  const interviewed = new Set(interviewTopics(world).map(topicKey));
  const told = [...(lessons.rows({ seed: 0, rewritings: 60, answers: 60, ordinary: 9 }, []) as Iterable<Chat | { readonly text: string }>)];
  let rewritten = 0;
  t.is(told.length, 129);
  for (const row of told) {
    if ('text' in row) continue;
    const [task, user, reply] = row.messages.map(({ content }) => content);
    const [, draft, asked = user!] = /^Answer: (.*) Question: (.*)$/.exec(user!) ?? [];
    const render =
      draft === undefined ? distil.render({ instruction: asked }) : rewritePrompt.render({ instruction: asked, response: draft });
    t.deepEqual('messages' in render ? render.messages.map(({ content }) => content) : [], [task, user]);
    const answer = draft === undefined ? reply! : parseRewritten(reply!);
    t.deepEqual(world.parseAnswer(answer as string), world.parseInstruction(asked));
    if (draft === undefined) t.true(interviewed.has(topicKey(world.parseInstruction(asked)!)));
    else rewritten++;
  }
  t.is(rewritten, 60);
});
