/** Runs MuSC on two dozen instructions of four sentences each, with a rule-based model. */
import { join } from 'node:path';
import type { ModelRef } from '../../schemas/call.ts';
import { jsonl, lot, stage, type Asked, type Ran } from './recipe.ts';

const numbers = (count: number) => Array.from({ length: count }, (_, n) => n);
const list = (items: readonly string[]) => items.map((item, n) => `##${n + 1}. ${item}`).join('\n');
const itemsIn = (text: string) => [...text.matchAll(/##\d+\. (.*)/g)].map(([, item]) => item!);

/** Four sentences, the first of which is the task. */
export const sentencesOf = (n: number) => [`Write text ${n}.`, `Use word ${n}.`, `Avoid word ${n}.`, `End with word ${n}.`];
const queries = numbers(24).map((n) => ({ instruction: sentencesOf(n).join(' ') }));
export const parts = numbers(24).map((n) => ({ instruction: sentencesOf(n).join(' '), constraints: sentencesOf(n) }));
export const demos = numbers(40).map((n) => ({
  instruction: `Demo ${n}`,
  input: n % 2 ? `Text ${n}` : null,
  constraints: ['task', `constraint ${'long '.repeat(n)}`],
}));

/** One model plays all roles; the prompt shows which. */
function says(content: string): string {
  const last = content.split('\n\n').at(-1)!;
  if (content.endsWith('**Constraints**:')) {
    const sentences = last.replace(/\n\*\*Constraints\*\*:$/, '').split(/(?<=\.) /);
    if (sentences[0] === 'Write text 3.') return `\n${list(sentences.slice(0, 1))}\n**Input**: None`;
    if (sentences[0] === 'Write text 5.') return `\n${list(sentences)}`;
    return `\n${list(sentences)}\n**Input**: ${sentences[0] === 'Write text 7.' ? 'a text' : 'None'}`;
  }
  if (content.endsWith('**Instruction**:')) {
    const constraints = itemsIn(last);
    if (habits.alike && lot(constraints[0]!, 2) === 0)
      return constraints.length % 2 ? ` ${constraints[0]!}` : ` ${constraints[0]!.toUpperCase()}\n`;
    return constraints[0] === 'Write text 6.' ? '**Input**: that' : ` ${constraints.join(' ')}`;
  }
  if (content.endsWith('**Task:**') && habits.alike)
    return ` Tell a short story of ${
      itemsIn(content)
        .find((item) => item.startsWith('Name '))
        ?.slice(5) ?? 'x.'
    }`;
  if (content.endsWith('**Task:**')) return ` Only ${itemsIn(content.slice(content.lastIndexOf('**Constraints:**'))).join(' ')}`;
  if (content.endsWith('**Constraints:**')) {
    const name = lot(content, 1000);
    return `\n${list(['Tell a tale.', 'Be brief.', `Name ${name}.`])}\n**Task:** Tell a short story of ${name}.`;
  }
  if (content.includes('fully meet')) return ['Answer: Yes', 'It does not.\nAnswer: No', 'Perhaps.'][lot(content, 3)]!;
  if (content.includes('deviates from') && habits.alike && content.includes('Avoid'))
    return `**New Constraint**: ${content.split('\n\n').at(-1)!.toLowerCase()}`;
  if (content.includes('deviates from')) return content.includes('word 9') ? 'Another' : '**New Constraint**: Instead.';
  if (content.includes('Write text 11.')) return 'the same';
  return `Answer to: ${content}${habits.moody && answers++ % 2 ? ', perhaps' : ''}`;
}

/** Behaviour that a test can switch on. `alike`: recombines any constraints into the same instruction; `moody`: alternates between two
 *  answers. */
export const habits = { alike: false, moody: false };
let answers = 0;
const [OWN, OTHER] = [-0.5, -1];
export const made = await stage(
  'musc',
  {
    reply: (_role, _model, content) => says(content),
    weigh({ prompt, continuation, includeEos, secondPrompt, model }) {
      const own = continuation === `Answer to: ${'messages' in prompt ? prompt.messages[0]!.content : ''}`;
      const words = [...continuation.split(' '), ...(includeEos ? ['end'] : [])];
      const each = (value: number) => words.map(() => value);
      const less = { logprobs: each(own ? OTHER : OWN), entropies: each(2), kl: each(0.5), reverseKl: each(0.25) };
      const more = { ids: words.map((_, n) => n), logprobs: each(own ? OWN : OTHER), entropies: each(1), hash: model.digest };
      return { ...more, ...(secondPrompt && { second: less }) };
    },
  },
  { 'queries.jsonl': jsonl(queries), 'parts.jsonl': jsonl(parts), 'demos.jsonl': jsonl(demos), 'policy/': '{}' },
);
const source = (path: string) => ({ source: 'std.table', params: { path }, folder: made.folder });
export const run = (parameters: object = {}, data: readonly string[] = ['parts']) =>
  made.run({
    parameters: { minimum: 1, recombine: data.includes('queries') ? 'model' : 'joined', ...parameters },
    data: Object.fromEntries(
      data.map((name, at) => [data.includes('queries') ? ['queries', 'demos'][at]! : 'parts', source(`${name}.jsonl`)]),
    ),
    models: { policy: { path: join(made.folder, 'policy') } },
  });
export const records = async <T>(of: Ran, path: string) => (await made.rows<T>(of.step(path).data)).map(({ value }) => value);
export const digest = (of: Ran, path: string) => of.step(path).model.digest;
export const inputs = (of: Ran, path: string) =>
  of.step(path).call.inputs as unknown as { from: ModelRef; reference?: ModelRef; with: Record<string, ModelRef>; objective: string };
export const dropped = async (of: Ran, path: string) => {
  const { droppedRecords } = (await made.bench.services.store.output(await keyOf(of, path)))!;
  const all = droppedRecords ? await made.rows<{ reason: string; value: { instruction: string } }>(droppedRecords) : [];
  return all.map(({ value: { reason, value } }) => [reason, value.instruction] as const);
};
export const asking = (of: Ran, ending: string): Asked[] => of.asked.filter(({ content }) => content.endsWith(ending));

async function keyOf(of: Ran, path: string): Promise<string> {
  const { resolve } = await import('../../steps/resolve.ts');
  const { services, context } = made.bench;
  return (await resolve(of.step(path).call, context, await services.registry([]))).stepKey;
}
