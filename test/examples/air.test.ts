/** AIR on the text world: what it would do, and whether the guidance is taught what the recipe understands. */
import test from 'ava';
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { plan } from '../../plan/planner.ts';
import { openServices } from '../../steps/services.ts';
import { loadExperiment } from '../../experiments/config.ts';
import { parseConstraint, parseDuplicate, parseGrades, parseInstruction, parseMerged, parseScore } from '../../operators/air/parse.ts';
import type { Lesson } from '../../operators/air/records.ts';
import { lessons, toReply } from '../../examples/textworld/air.ts';
import { advert } from '../../examples/textworld/interviews.ts';
import { World } from '../../examples/textworld/world.ts';
import { lengths, type AirParameters } from '../../schemas/recipes/air.ts';

const { bound } = await loadExperiment(join(import.meta.dirname, '../../examples/textworld/air.yaml'));
const { types } = bound.parameters as AirParameters;
const names = types.map(({ name }) => name);

test('the experiment on the text world can run, and trains the guidance, the student and its controls', async (t) => {
  const { steps, missing, warnings } = await plan(await openServices(await mkdtemp(join(tmpdir(), 'backspin-air-'))), bound);
  t.deepEqual([missing, warnings], [[], []]);
  t.deepEqual(steps.flatMap(({ path, kind }) => (kind === 'train' ? path : [])).toSorted(), [
    'document/student',
    'guidance',
    'initial/student',
    'student',
  ]);
  t.like(
    steps.find(({ path }) => path === 'readable'),
    { in: 864 + 432 },
  );
});

test('every lesson gives a reply that the recipe understands as it is meant', (t) => {
  const world = new World(0);
  const { constraint, type } = lengths.parse({});
  const seen = new Map<string, Set<unknown>>();
  for (const { prompt, reply } of lessons.rows({ seed: 0, size: 'full' }, []) as Iterable<Lesson>) {
    const [task = '', asked = ''] = prompt.split('\n');
    const read = {
      'Ask.': () => (asked.startsWith(advert('')) ? 'sale' : parseInstruction(reply) === reply && world.parseInstruction(reply)?.form),
      'Rate.': () => parseScore(reply),
      'Keep.': () => reply === asked,
      'Note.': () => {
        const found = parseConstraint(reply, names, [], { constraint, type });
        if (typeof found === 'string') return found;
        t.true(asked.includes(found.type), 'a type of the list');
        return found.type;
      },
      'Look.': () => parseDuplicate(reply),
      'Mark.': () => parseGrades(reply, 1)?.[0],
      'Put.': () => world.parseInstruction(parseMerged(reply.slice('**Instruction**:'.length)))?.form.includes('+'),
      'Answer.': () => world.parseAnswer(reply)?.form === world.parseInstruction(asked)?.form,
    }[task]!();
    seen.set(task, (seen.get(task) ?? new Set()).add(read));
  }
  const all = [...seen].map(([task, reads]) => [task, [...reads].map(String).toSorted()] as const);
  t.deepEqual(Object.fromEntries(all), {
    'Ask.': ['plain', 'sale'],
    'Rate.': ['1', '5'],
    'Keep.': ['true'],
    'Note.': [...names, 'none'].toSorted(),
    'Look.': ['false', 'true'],
    'Mark.': ['0', '3'],
    'Put.': ['true'],
    'Answer.': ['true'],
  });
  const [first] = lessons.rows({ seed: 0, size: 'miniature' }, []) as Iterable<Lesson>;
  t.deepEqual(
    toReply.render(first!).messages.map(({ role }) => role),
    ['system', 'user', 'assistant'],
  );
});
