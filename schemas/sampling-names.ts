/** The names that vLLM, OpenAI and Transformers have for the sampling of a request, and which of our settings stands for each. */

/** Fields of a request by the setting that they have; the client sets all others by itself. */
export const REQUEST_FIELDS = {
  temperature: 'temperature',
  topP: 'top_p',
  topK: 'top_k',
  minP: 'min_p',
  repetitionPenalty: 'repetition_penalty',
  presencePenalty: 'presence_penalty',
  frequencyPenalty: 'frequency_penalty',
  stop: 'stop',
} as const;

/** Fields of vLLM and OpenAI for which there is no setting. A request has them as they are, as fields of `extra`. */
const asTheyAre =
  'logit_bias stop_token_ids bad_words allowed_token_ids min_tokens include_stop_str_in_output skip_special_tokens spaces_between_special_tokens reasoning_effort thinking_token_budget vllm_xargs';

/** Theirs -> ours: a setting, or a field of `extra`. */
export const samplingAliases: Readonly<Record<string, readonly [key: string, inner?: string]>> = {
  ...Object.fromEntries(Object.entries(REQUEST_FIELDS).flatMap(([ours, theirs]) => (ours === theirs ? [] : [[theirs, [ours]]]))),
  max_tokens: ['maxTokens'],
  max_completion_tokens: ['maxTokens'],
  max_new_tokens: ['maxTokens'],
  chat_template_kwargs: ['chatTemplateKwargs'],
  stop_sequences: ['stop'],
  stop_strings: ['stop'],
  min_new_tokens: ['extra', 'min_tokens'],
  ...Object.fromEntries(asTheyAre.split(' ').map((field) => [field, ['extra', field]])),
};

const all = (names: string, sentence: string) => Object.fromEntries(names.split(' ').map((name) => [name, sentence]));
/** Settings of theirs that are none of ours, and what to do. */
export const samplingElsewhere: Readonly<Record<string, string>> = {
  ...all(
    'n best_of num_return_sequences',
    'a request has one reply, which the journal keeps; how often a step asks is a setting of its recipe (such as `attempts`, `samples` or `drafts`), and in a recipe of your own `repeat` makes copies of records, each with a reply of its own',
  ),
  ...all('use_beam_search num_beams early_stopping length_penalty', '`temperature: 0` decodes greedily; no step searches with beams'),
  do_sample: '`temperature: 0` decodes greedily, and any other temperature samples',
  seed: 'each request has a seed of its own, which follows from the `seed` of the experiment',
  ...all(
    'logprobs prompt_logprobs top_logprobs flat_logprobs echo',
    'a reply is its text; scorers request log-probabilities by themselves',
  ),
  ...all('guided_choice structured_choice', '`choice` gives a reply one of several texts'),
  ...all('guided_json json_schema', '`schema` gives a reply the form of a JSON Schema'),
  ...all(
    'guided_regex guided_grammar guided_decoding structured_outputs response_format regex grammar',
    '`choice` or `schema` gives a reply its form',
  ),
  ...all('stream stream_options', 'a reply arrives as a whole'),
  truncate_prompt_tokens: 'a prompt is never cut: a record that does not fit the context is dropped as `too-long`',
  ignore_eos: 'no reply would have an end, and each would be dropped as `truncated`',
  ...all(
    'no_repeat_ngram_size encoder_repetition_penalty',
    'model servers have no such field; `repetitionPenalty` or `frequencyPenalty` is theirs',
  ),
  ...all('typical_p epsilon_cutoff eta_cutoff', 'model servers have no such field; `topP` or `minP` is theirs'),
  ...all('max_length min_length', '`maxTokens` counts the tokens of a reply, without its prompt'),
  chat_template: 'the model has it, as `chatTemplate` under `models`',
  ...all('tools tool_choice functions function_call parallel_tool_calls', 'no operator calls tools'),
};

/** Fields of a request that the client sets by itself. */
const client = new Set([
  ...Object.values(REQUEST_FIELDS),
  ...'model messages prompt max_tokens max_completion_tokens seed n stream chat_template_kwargs structured_outputs response_format'.split(
    ' ',
  ),
  ...'logprobs top_logprobs prompt_logprobs echo add_generation_prompt continue_final_message'.split(' '),
]);
/** Why `extra` has no such field, and what to use in its place; undefined: it may have it. */
export function sayTaken(field: string): string | undefined {
  if (!client.has(field)) return undefined;
  if (Object.hasOwn(samplingElsewhere, field)) return samplingElsewhere[field];
  const [ours] = (Object.hasOwn(samplingAliases, field) && samplingAliases[field]) || [field in REQUEST_FIELDS ? field : undefined];
  return ours === undefined ? 'backspin sets this field itself' : `\`${ours}\` beside \`extra\` sets it`;
}
