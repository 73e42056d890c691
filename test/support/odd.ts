/** Defines operators that fail on some of their records, each in another way, and a suite with invalid items. */
import { z } from 'zod';
import { keep, operator, suite } from '../../recipe/index.ts';

export const namespace = 'odd';

const text = z.object({ text: z.string().min(1) });

export const copy = operator({ version: 1, input: text, output: text, run: (record) => keep(record) });
/** For some records, returns values that its schema refuses, or that cannot be stored. */
export const echo = operator({
  version: 1,
  input: text,
  output: z.object({ text: z.string().min(2), more: z.unknown() }),
  run: ({ text }) => keep({ text, more: text === 'endless' ? Infinity : null }),
});
/** Throws on some records, keeps nothing of others. */
export const third = operator({
  version: 1,
  input: text,
  output: text,
  run: ({ text }) => (text === 'none' ? { kept: [] } : keep({ text: text.split(' ')[2]!.toUpperCase() })),
});
/** Sends a request first, and then throws on some replies. */
export const ask = operator({
  version: 1,
  input: text,
  output: text,
  roles: ['speaker'],
  capabilities: ['chat'],
  async run({ text }, { chat }) {
    const reply = await chat('speaker', [{ role: 'user', content: text }], { temperature: 0, maxTokens: 8 });
    return keep({ text: reply.text.split(' ')[1]!.trim() });
  },
});

export const quiz = suite({
  version: 1,
  items: () => [{ text: 'one' }, { text: '' }, { text: 'three' }],
  ask: operator({ version: 1, input: text, output: text, roles: ['model'], run: (record) => keep(record) }),
  measure: (answers) => ({ answered: answers.filter(({ answer }) => answer !== undefined).length }),
});

/** Makes a call and keeps a record for each word, and declares neither. */
export const wordy = operator({
  version: 1,
  input: text,
  output: text,
  roles: ['speaker'],
  capabilities: ['chat'],
  async run({ text }, { chat }) {
    for (const content of text.split(' ')) await chat('speaker', [{ role: 'user', content }], { temperature: 0, maxTokens: 8 });
    return keep({ text });
  },
});
export const cut = operator({
  version: 1,
  input: text,
  output: text,
  run({ text }) {
    const [first, ...others] = text.split(' ').map((word) => ({ text: word }));
    return keep(first!, ...others);
  },
});
