// The per-record half of AIR, section 3.3: one document is one loop; both models are served, no document waits for another.
import {
  drop,
  keep,
  operator,
  type Chat,
  type Context,
  type Message,
  type Sampling,
  type Schema,
  type Template,
} from '../../../recipe/index.ts';

export interface Source {
  readonly text: string;
}
export interface Started extends Source {
  readonly instruction: string;
}
export interface Rated extends Started {
  readonly score: number;
}
export interface Step {
  readonly type: string;
  readonly constraint: string;
  readonly output: string;
  readonly satisfied: number;
}
export interface Refined extends Rated {
  readonly polished: string;
  readonly steps: readonly Step[];
}
export interface Complex {
  readonly instruction: string;
  readonly response: string;
}

declare const schema: <T>() => Schema<T>; // zod in the real file
declare const prompts: Record<
  'backtranslate' | 'rate' | 'polish' | 'judge' | 'same' | 'check' | 'merge',
  (...slots: readonly unknown[]) => readonly Message[]
>;
declare const types: readonly string[];
declare const parse: {
  score(text: string): number | undefined;
  constraint(text: string): { type: string; constraint: string } | undefined;
  yes(text: string): boolean;
  grade(text: string): number;
};
const sampling: Sampling = { temperature: 0.2, topP: 0.9, maxTokens: 4096 };
const user = (content: string): readonly Message[] => [{ role: 'user', content }];

export const readable = operator({
  version: 1,
  input: schema<Source>(),
  output: schema<Source>(),
  run: (source) => {
    const words = source.text.split(/\s+/).length;
    return words < 50 || words > 2048 ? drop('length') : keep(source);
  },
});

export const backtranslate = operator({
  version: 1,
  input: schema<Source>(),
  output: schema<Started>(),
  roles: ['guidance'],
  needs: ['chat'],
  async run(source, { chat }) {
    const reply = await chat('guidance', prompts.backtranslate(source.text), sampling);
    return reply.finish === 'length' ? drop('truncated', reply.text) : keep({ ...source, instruction: reply.text.trim() });
  },
});

export const rate = operator({
  version: 1,
  input: schema<Started>(),
  output: schema<Rated>(),
  roles: ['guidance'],
  needs: ['chat'],
  async run(started, { chat }) {
    const reply = await chat('guidance', prompts.rate(started.instruction), sampling);
    const score = parse.score(reply.text);
    return score === undefined ? drop('no-score', reply.text) : keep({ ...started, score });
  },
});

export const refine = operator({
  version: 1,
  input: schema<Rated>(),
  output: schema<Refined>(),
  params: schema<{ iterations: number }>(),
  roles: ['guidance', 'student'],
  needs: ['chat'],
  calls: ({ iterations }) => 2 + 4 * iterations,
  draws: () => true,
  async run(rated, { chat, random }, { iterations }) {
    const polished = (await chat('guidance', prompts.polish(rated), sampling)).text;
    const steps: Step[] = [];
    let instruction = rated.instruction,
      output = (await chat('student', user(instruction), sampling)).text;
    while (steps.length < iterations) {
      const allowed = shuffled(
        types.filter((type) => !steps.some((step) => step.type === type)),
        random(`types-${steps.length}`),
      );
      const found = parse.constraint((await chat('guidance', prompts.judge(rated.instruction, polished, output, allowed), sampling)).text);
      if (!found) break;
      if (steps.length > 0 && parse.yes((await chat('guidance', prompts.same(found, steps), sampling)).text)) break;
      instruction = `${instruction}\n\n${found.constraint}`;
      output = (await chat('student', user(instruction), sampling)).text;
      const satisfied = parse.grade((await chat('guidance', prompts.check(rated.instruction, found.constraint, output), sampling)).text);
      steps.push({ ...found, output, satisfied });
    }
    return keep({ ...rated, polished, steps });
  },
});

export const level = operator({
  version: 1,
  input: schema<Refined>(),
  output: schema<Complex>(),
  params: schema<{ level: number }>(),
  roles: ['guidance'],
  needs: ['chat', 'prefill'],
  calls: () => 2,
  draws: () => true,
  async run(refined, context, { level }) {
    if (refined.steps.length < level) return drop('too-few-constraints');
    const instruction = await merge(refined, level, context);
    const response = (await context.chat('guidance', user(instruction), sampling)).text;
    return keep({ instruction, response });
  },
});

async function merge(refined: Refined, level: number, { complete, random }: Context<'guidance'>): Promise<string> {
  const constraints = shuffled(
    refined.steps.slice(0, level).map((step) => step.constraint),
    random('merge'),
  );
  return (
    await complete(
      'guidance',
      { messages: prompts.merge(refined.instruction, constraints), prefill: '**Instruction**:' },
      { ...sampling, maxTokens: 800 },
    )
  ).text;
}
const shuffled = <T>(items: readonly T[], random: () => number): T[] =>
  items
    .map((item) => [random(), item] as const)
    .sort((a, b) => a[0] - b[0])
    .map(([, item]) => item);

export declare const toResponse: Template<Complex, Chat>;
