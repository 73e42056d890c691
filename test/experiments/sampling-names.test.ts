/** What vLLM, OpenAI and Transformers call their settings of sampling: each is taken, or refused with the way out. */
import test from 'ava';
import { sampling } from '../../schemas/sampling.ts';
import { Source } from '../../schemas/yaml.ts';
import { fault, sound } from './written.ts';

const sampled = (settings: string) => `${sound}  sampling: { backtranslate: { temperature: 0.7, ${settings} } }\n`;
function read(settings: string): object | undefined {
  const source = new Source('sampling.yaml', `{ temperature: 0.7, ${settings} }`, []);
  source.resolveAliases(sampling, []);
  const read = source.check(sampling, source.value);
  source.throwIfAny();
  return read;
}

/** Theirs -> ours. */
const taken: readonly (readonly [theirs: string, ours: object])[] = [
  ['max_tokens: 9', { maxTokens: 9 }],
  ['max_completion_tokens: 9', { maxTokens: 9 }],
  ['max_new_tokens: 9', { maxTokens: 9 }],
  ...(
    [
      ['top_p: 0.5', { topP: 0.5 }],
      ['top_k: 5', { topK: 5 }],
      ['top_k: -1', {}],
      ['top_k: 0', {}],
      ['min_p: 0.1', { minP: 0.1 }],
      ['min_p: 0', {}],
      ['repetition_penalty: 1.1', { repetitionPenalty: 1.1 }],
      ['presence_penalty: 1', { presencePenalty: 1 }],
      ['frequency_penalty: -1', { frequencyPenalty: -1 }],
      ['stop: [a, b]', { stop: ['a', 'b'] }],
      ['stop: a', { stop: ['a'] }],
      ['stop_sequences: [a]', { stop: ['a'] }],
      ['stop_strings: a', { stop: ['a'] }],
      ['chat_template_kwargs: { enable_thinking: false }', { chatTemplateKwargs: { enable_thinking: false } }],
      ['logit_bias: { 7: -1 }', { extra: { logit_bias: { 7: -1 } } }],
      ['stop_token_ids: [7]', { extra: { stop_token_ids: [7] } }],
      ['bad_words: [foo]', { extra: { bad_words: ['foo'] } }],
      ['allowed_token_ids: [7, 8]', { extra: { allowed_token_ids: [7, 8] } }],
      ['min_tokens: 4', { extra: { min_tokens: 4 } }],
      ['min_new_tokens: 4', { extra: { min_tokens: 4 } }],
      ['include_stop_str_in_output: true', { extra: { include_stop_str_in_output: true } }],
      ['skip_special_tokens: false', { extra: { skip_special_tokens: false } }],
      ['spaces_between_special_tokens: false', { extra: { spaces_between_special_tokens: false } }],
      ['reasoning_effort: low', { extra: { reasoning_effort: 'low' } }],
      ['thinking_token_budget: 64', { extra: { thinking_token_budget: 64 } }],
      ['vllm_xargs: { a: 1 }', { extra: { vllm_xargs: { a: 1 } } }],
      ['min_tokens: 4, bad_words: [foo]', { extra: { min_tokens: 4, bad_words: ['foo'] } }],
      ['extra: { top_a: 0.1 }, min_tokens: 4', { extra: { top_a: 0.1, min_tokens: 4 } }],
    ] as const
  ).map(([theirs, ours]) => [`max_tokens: 9, ${theirs}`, { maxTokens: 9, ...ours }] as const),
];

test('settings by the names of vLLM, OpenAI and Transformers are ours, or fields of `extra`', (t) => {
  for (const [theirs, ours] of taken) t.deepEqual(read(theirs), { temperature: 0.7, ...ours }, theirs);
});

const refused: readonly (readonly [names: string, remedy: RegExp])[] = [
  ['n best_of num_return_sequences', /a request has one reply.*`attempts`, `samples` or `drafts`.*`repeat` makes copies/],
  ['use_beam_search num_beams early_stopping length_penalty', /no step searches with beams/],
  ['do_sample', /`temperature: 0` decodes greedily/],
  ['seed', /which follows from the `seed` of the experiment/],
  ['logprobs prompt_logprobs top_logprobs flat_logprobs echo', /scorers request log-probabilities/],
  ['guided_choice', /`choice` gives/],
  ['guided_json', /`schema` gives/],
  ['guided_regex guided_grammar structured_outputs response_format', /`choice` or `schema` gives/],
  ['stream', /arrives as a whole/],
  ['truncate_prompt_tokens', /never cut.*`too-long`/],
  ['ignore_eos', /`truncated`/],
  ['no_repeat_ngram_size', /`repetitionPenalty` or `frequencyPenalty`/],
  ['typical_p', /`topP` or `minP`/],
  ['max_length min_length', /`maxTokens` counts/],
  ['chat_template', /`chatTemplate` under `models`/],
  ['tools tool_choice', /no operator calls tools/],
];

for (const [names, remedy] of refused)
  test(`what no request of ours has is refused with the way out: ${names}`, async (t) => {
    for (const name of names.split(' ')) {
      const says = await fault(t, sampled(`max_tokens: 9, ${name}: 2`));
      t.regex(says, new RegExp(`^\\S+ parameters\\.sampling\\.backtranslate\\.${name}: unknown key: `));
      t.regex(says, remedy);
    }
  });

test('a field of `extra` that a setting has, or that no request may have, is refused with the name of the setting', async (t) => {
  const extra = async (field: string) => fault(t, sampled(`max_tokens: 9, extra: { ${field}: 2 }`));
  t.regex(await extra('top_p'), /backtranslate\.extra\.top_p: .*: `topP` beside `extra` sets it$/);
  t.regex(await extra('stop'), /`stop` beside `extra` sets it$/);
  t.regex(await extra('max_completion_tokens'), /`maxTokens` beside `extra` sets it$/);
  t.regex(await extra('n'), /a request has one reply/);
  t.regex(await extra('response_format'), /`choice` or `schema`/);
  t.regex(await extra('messages'), /backspin sets this field itself$/);
});

test('a name of theirs for a field that `extra` has already is refused', async (t) => {
  t.regex(await fault(t, sampled('max_tokens: 9, extra: { min_tokens: 1 }, min_tokens: 2')), /min_tokens: sets extra, which stands beside/);
});
