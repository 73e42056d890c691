/** The page about prompts: its file is one, and replaces the judge. */
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import test from 'ava';
import { parse } from 'yaml';
import { loadExperiment } from '../../experiments/config.ts';
import { loadRegistry } from '../../steps/registry.ts';
import { sound, write } from '../experiments/written.ts';
import { file, root } from '../cli/cli.ts';

const page = readFileSync(join(root, 'docs/prompts.md'), 'utf8');
const block = (language: string) => new RegExp(`^\`\`\`${language}\n(.*?)^\`\`\``, 'ms').exec(page)![1]!;

test('the prompt file of the page takes the place that its experiment file gives it, and renders as the page says', async (t) => {
  const { prompts } = (parse(block('yaml')) as { parameters: { prompts: object } }).parameters;
  const path = write(`${sound}  prompts: ${JSON.stringify(prompts)}\n`);
  file(dirname(path), 'judge.jinja', block('jinja'));
  const { bound } = await loadExperiment(path);
  const registry = await loadRegistry(bound.modules);
  const { judge } = (bound.parameters as { prompts: { judge: string } }).prompts;
  t.deepEqual(registry.prompt(judge).render({ instruction: 'Why?', response: 'So.' } as never), {
    messages: [
      { role: 'system', content: 'You rate answers from 1 to 5.' },
      { role: 'user', content: 'Question: What is the capital of France?\nAnswer: I like trains.' },
      { role: 'assistant', content: 'Score: 1' },
      { role: 'user', content: 'Question: Why?\nAnswer: So.' },
    ],
    prefill: 'Score:',
  });
});
