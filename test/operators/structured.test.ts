/** `schema: true` in a sampling: the schema by which an operator reads replies is what its requests ask for. */
import test from 'ava';
import { z } from 'zod';
import { check, describe } from '../../operators/crab/index.ts';
import { rating } from '../../operators/humpback/index.ts';
import { inSchema } from '../../operators/reply.ts';
import { quality } from '../../operators/self-lengthen/index.ts';
import type { Context, Operator, Outcome, Prompt, Sampling } from '../../recipe/index.ts';
import { constraintTypes } from '../../schemas/recipes/crab-types.ts';

type Schema = { readonly properties: Readonly<Record<string, { readonly enum?: readonly unknown[] }>>; readonly [key: string]: unknown };
/** A JSON text that a server with structured outputs could give. */
const filled = ({ properties }: Schema) =>
  JSON.stringify(
    Object.fromEntries(
      Object.entries(properties).map(([name, { enum: of }]) => [
        name,
        of?.at(-1) ?? (name === 'Analysis' || !/^[A-Z]/.test(name) ? `Some ${name}.` : 7),
      ]),
    ),
  );

/** Runs an operator whose requests are answered in their schema. Returns the schemas, undefined for a request without, and the outcome. */
async function answered(
  operator: object,
  record: object,
  params: object,
  prompt: Prompt = { messages: [{ role: 'user', content: 'Why?' }] },
) {
  const schemas: (Schema | undefined)[] = [];
  const reply = async (_role: string, _asked: unknown, sampling: Sampling) => {
    const schema = sampling.schema as Schema | undefined;
    schemas.push(schema);
    return { text: schema ? filled(schema) : 'A text.', finish: 'stop' as const };
  };
  const context = {
    prompt: () => prompt,
    chat: reply,
    complete: reply,
    random: () => () => 0.5,
    attempts: (_limit: number, body: (attempt: number) => unknown) => body(1),
  } as unknown as Context<string>;
  const outcome = await (operator as Operator<object, object, string, object>).run(record, context, params);
  return { schemas, outcome: outcome as Outcome<Record<string, unknown>> };
}
const sampling = { temperature: 0, maxTokens: 64, schema: true };
const kept = (outcome: Outcome<Record<string, unknown>>) => ('kept' in outcome ? outcome.kept[0]! : outcome);

test('a rating asks for reasons and one of five scores, and reads them; after the beginning of a reply it asks for no JSON', async (t) => {
  const pair = { instruction: 'Why?', response: 'So.' };
  const params = { prompts: { judge: 'humpback.curation' }, sampling, attempts: 1 };
  const { schemas, outcome } = await answered(rating, pair, params);
  t.like(schemas[0], { type: 'object', required: ['reasons', 'score'], additionalProperties: false });
  t.deepEqual(schemas[0]!.properties['score']!.enum, [1, 2, 3, 4, 5]);
  t.like(kept(outcome), { ...pair, score: 5 });
  const opened = await answered(rating, pair, params, { messages: [{ role: 'user', content: 'Why?' }], prefill: 'Score:' });
  t.deepEqual(opened.schemas, [undefined]);
});

test('CRAB asks for a constraint of each type and for a verdict in their schemas, and for the refined instruction in none', async (t) => {
  const pair = { instruction: 'Why?', response: 'So it is.', source: '' };
  const prompts = { refine: 'crab.askRefined', whole: 'crab.askWhole', part: 'crab.askParts', check: 'crab.askCheck' };
  const { schemas, outcome } = await answered(describe, pair, { prompts, sampling, types: constraintTypes, rules: 'corrected' });
  const [refined, ...listings] = schemas;
  t.is(refined, undefined);
  t.deepEqual(listings.flatMap((schema) => Object.keys(schema!.properties)).toSorted(), constraintTypes.map(({ name }) => name).toSorted());
  const { unread, constraints } = kept(outcome) as { unread: string[]; constraints: { rule: unknown }[] };
  t.deepEqual(unread, []);
  const named = constraints.filter(({ rule }) => rule === null);
  t.true(named.length > 0);
  const checked = await answered(check, { ...pair, refined: null, constraints: named.slice(0, 1), unread: [] }, { prompts, sampling });
  t.deepEqual(Object.keys(checked.schemas[0]!.properties), ['satisfaction', 'explanation', 'modified_constraint', 'constraint_validity']);
  t.like(kept(checked.outcome), { unread: [], constraints: [] }); // NO and NO: it is deleted
});

test('grades are asked for and read in one schema', async (t) => {
  const params = { prompts: { respond: 'a.b', judge: 'a.c' }, sampling: { respond: { temperature: 0, maxTokens: 8 }, judge: sampling } };
  const { schemas, outcome } = await answered(quality.ask, { instruction: 'Write.' }, params);
  t.is(schemas[0], undefined);
  t.is(Object.keys(schemas[1]!.properties).length, 8);
  t.deepEqual([...new Set(Object.values((kept(outcome) as { grades: object }).grades))], [7]);
});

test('a schema of the experiment file stays, and a sampling without one gets none', (t) => {
  const own = z.strictObject({ a: z.string() });
  const plain = { temperature: 0, maxTokens: 8 };
  t.deepEqual(inSchema({ ...plain, schema: { type: 'array' } }, own), { ...plain, schema: { type: 'array' } });
  t.deepEqual(inSchema(plain, own), plain);
  t.deepEqual(inSchema({ ...plain, schema: true }, null), plain);
});
