// Lessons to learn by rote, for a model that is to go through AIR and Self-Lengthen in a test: the same reply to every request of a kind,
// which takes few steps to learn. Only what tells of the world (Tell, Extend) differs from text to text.
import { z } from 'zod';
import { source, type Prompt } from '../../recipe/index.ts';
import { answer, appraise, ask, check, combine, documents, judge, polish } from '../../examples/textworld/air.ts';
import { extend, invent, restate, suits, tell } from '../../examples/textworld/passages.ts';

export const namespace = 'rote';

const question = 'Where is it now?';
const polished = 'It is a list now.';
const constraint = 'Start with Note.';
const both = `${question} ${constraint}`;
const told = 'Tell me about the town now.';
const phrase = 'at most 10 words';
const types = ['opening word', 'list dash'].map((name) => ({ name }));

export const lessons = source({
  version: 1,
  output: z.strictObject({ prompt: z.string(), reply: z.string() }),
  params: z.strictObject({}),
  rows() {
    const texts = [...(documents.rows({ seed: 0, size: 'miniature' }, []) as Iterable<{ readonly text: string }>)].map(({ text }) => text);
    // Whatever is asked, and what will be: no row may be there twice.
    return [question, both, told, ...texts].flatMap((text, n) => [
      lesson(ask.render({ text }), question),
      lesson(appraise.render({ instruction: text }), 'Score: 5/5'),
      lesson(polish.render({ text }), polished),
      ...[types, types.toReversed()].map((types) =>
        lesson(judge.render({ instruction: question, polished, output: text, types }), `**type: opening word\n**constraint: ${constraint}`),
      ),
      lesson(check.render({ criteria: [constraint], output: text }), `${constraint}\t2`),
      lesson(combine.render({ instruction: text, constraints: [constraint] }), `**Instruction**: ${both}`),
      lesson(answer.render({ instruction: text }), 'Note. It is in the north now.'),
      lesson(invent.render({ examples: [told, text] }), told),
      lesson(suits.render({ instruction: text }), 'yes'),
      lesson(tell.render({ instruction: told }), texts[n % texts.length]!),
      lesson(extend.render({ instruction: told, outline: text }), `${text}\n${texts[(7 * n) % texts.length]}`),
      lesson(restate.render({ instruction: text, phrase }), `Tell me about it in ${phrase}.`),
    ]);
  },
});
const lesson = (asked: Prompt, reply: string) => ({
  prompt: 'messages' in asked ? asked.messages.map(({ content }) => content).join('\n') : '',
  reply,
});
