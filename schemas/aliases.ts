/** Names of TRL, Transformers, PEFT, LLaMA-Factory, axolotl and vLLM for settings of an experiment file. They are accepted beside ours. */
import { isMap, isScalar, type Document, type Node, type Pair, type YAMLMap } from 'yaml';
import { keysAt, type JsonSchema } from './nearest.ts';
import { samplingAliases, samplingElsewhere } from './sampling-names.ts';

type OurName = readonly [key: string, inner?: string | number];
type Aliases = Readonly<Record<string, OurName>>;

/** SFTConfig and DPOConfig of TRL, with TrainingArguments of Transformers; then the names that others have for the same. */
const training: Aliases = {
  learning_rate: ['learningRate'],
  num_train_epochs: ['length', 'epochs'],
  max_steps: ['length', 'steps'],
  max_length: ['maxTokens'],
  lr_scheduler_type: ['schedule'],
  warmup_ratio: ['warmup'],
  weight_decay: ['weightDecay'],
  adam_beta1: ['betas', 0],
  adam_beta2: ['betas', 1],
  max_grad_norm: ['clip'],
  optim: ['optimizer'],
  attn_implementation: ['attention'],
  padding_free: ['packing'],
  use_liger_kernel: ['liger'],
  loss_type: ['loss'],
  simpo_gamma: ['gamma'],
  rpo_alpha: ['sft'],
  // LLaMA-Factory
  pref_loss: ['loss'],
  pref_ftx: ['sft'],
  cutoff_len: ['maxTokens'],
  quantization_bit: ['quantization'],
  flash_attn: ['attention'],
  neat_packing: ['packing'],
  enable_liger_kernel: ['liger'],
  // axolotl
  sequence_len: ['maxTokens'],
  num_epochs: ['length', 'epochs'],
  excess_length_strategy: ['tooLong'],
  load_in_4bit: ['quantization'],
  flash_attention: ['attention'],
  sample_packing: ['packing'],
  lr_scheduler: ['schedule'],
};
const ofAllDevices = '`batch` counts the rows of all devices together';
const command = '`engine: command` under `training` runs a trainer that has it';
const ofRows = 'rows of `kto` have a `weight` each, which the template of the recipe sets';
const notHere = `backspin's trainer has no such option; ${command}`;
/** Settings of theirs that are none of ours, and what to do. */
const trainingElsewhere: Readonly<Record<string, string>> = {
  per_device_train_batch_size: `${ofAllDevices}; \`microBatch\` under \`training\` is the most that a device computes at once`,
  micro_batch_size: `${ofAllDevices}; \`microBatch\` under \`training\` is the most that a device computes at once`,
  gradient_accumulation_steps: `${ofAllDevices}; how many micro-batches make it is found`,
  pref_beta: 'it is `beta`, in trainings on preferences',
  rl_beta: 'it is `beta`, in trainings on preferences',
  warmup_steps: '`warmup` is a share of the steps',
  bf16: 'the precision is that of the device: bfloat16 on CUDA devices that can, else float32',
  fp16: 'the precision is that of the device: bfloat16 on CUDA devices that can, else float32',
  gradient_checkpointing: 'it is on wherever there is a CUDA device',
  save_steps: 'a checkpoint is written after each quarter of the steps and every ten minutes',
  save_strategy: 'a checkpoint is written after each quarter of the steps and every ten minutes',
  save_total_limit: 'the last two checkpoints are kept until the training ends',
  resume_from_checkpoint: 'a training resumes from its last checkpoint by itself',
  output_dir: 'the store keeps the model; `backspin export` writes it to a folder',
  push_to_hub: '`backspin export` with `--push` uploads a model',
  data_seed: '`seed` is that of the order of rows too',
  group_by_length: 'rows of similar length share batches anyway',
  train_sampling_strategy: 'rows of similar length share batches, in an order by the seed',
  dataset_num_proc: 'the trainer prepares rows by itself',
  dataloader_num_workers: 'the trainer prepares rows by itself',
  completion_only_loss: 'the loss is on the last answer only; the recipe sets the objective',
  assistant_only_loss: 'the loss is on the last answer only; the recipe sets the objective',
  precompute_ref_log_probs: 'the log-probabilities of the reference are always computed before the first step',
  max_prompt_length: '`maxTokens` counts prompt and answer, and `tooLong` says what becomes of longer rows',
  max_completion_length: '`maxTokens` counts prompt and answer, and `tooLong` says what becomes of longer rows',
  truncation_mode: '`tooLong: truncate` cuts the end of the answer',
  disable_dropout: '`dropout` is 0 unless it is set',
  logging_steps: 'every step is kept beside the model',
  fsdp: '`shard: fsdp2` under `training` divides a model among the devices of a group',
  fsdp_config: '`shard: fsdp2` under `training` divides a model among the devices of a group',
  report_to: 'every step is kept beside the model, and `backspin track` writes it into a tracker',
  lora_r: 'it goes into `lora`, as `r`',
  lora_rank: 'it goes into `lora`, as `rank`',
  lora_alpha: 'it goes into `lora`',
  lora_dropout: 'it goes into `lora`',
  lora_target_modules: 'it goes into `lora`, as `target_modules`',
  lora_target: 'it goes into `lora`, as `target_modules`',
  full_determinism: '`deterministic: true` under `training` asks for it',
  deepspeed: `\`shard: fsdp2\` under \`training\` divides a model among the devices of a group; ${command}`,
  desirable_weight: ofRows,
  undesirable_weight: ofRows,
  kto_chosen_weight: ofRows,
  kto_rejected_weight: ofRows,
  label_smoothing: notHere,
  rl: 'the recipe sets the objective; `loss` says what is learned from a pair',
  load_in_8bit: '`quantization: nf4` holds the base of an adapter in 4 bits',
  ...Object.fromEntries(
    ['eval_strategy', 'eval_steps', 'val_size', 'val_set_size', 'early_stopping_patience', 'load_best_model_at_end'].map((name) => [
      name,
      'held-out rows go into `evaluate`, as `share`, `every` and `patience`',
    ]),
  ),
};
const loraElsewhere: Readonly<Record<string, string>> = {
  use_rslora: 'an adapter is scaled by alpha / rank: an `alpha` of theirs times the square root of the rank is the same',
  use_dora: notHere,
  modules_to_save: `an adapter has low-rank matrices alone; ${command}`,
  bias: `an adapter has low-rank matrices alone; ${command}`,
  init_lora_weights: 'adapters begin with no change of the model, by the seed',
  task_type: 'the recipe sets the objective',
  target_parameters: '`targets` names linear layers; experts of a mixture stay as they are',
};
/** What to do in place of a key of TRL, LLaMA-Factory, axolotl or vLLM that stands beside these keys of ours; undefined: it is none. */
export function sayElsewhere(key: string, beside: readonly string[]): string | undefined {
  const [, elsewhere = {}] =
    Object.entries({ learningRate: trainingElsewhere, rank: loraElsewhere, temperature: samplingElsewhere }).find(([ours]) =>
      beside.includes(ours),
    ) ?? [];
  return Object.hasOwn(elsewhere, key) ? elsewhere[key] : undefined;
}
/** LoraConfig of PEFT. */
const lora: Aliases = { r: ['rank'], lora_alpha: ['alpha'], lora_dropout: ['dropout'], target_modules: ['targets'] };
/** Their name of a value -> ours, by our key. undefined: our default. */
const values: Readonly<Record<string, Readonly<Record<string, string | undefined>>>> = {
  optimizer: {
    ...Object.fromEntries(['adamw_torch', 'adamw_torch_fused'].map((name) => [name, 'adamw'])),
    ...Object.fromEntries(['adamw_8bit', 'adamw_bnb_8bit'].map((name) => [name, 'adamw-8bit'])),
  },
  quantization: { true: 'nf4', '4': 'nf4', false: 'none' },
  attention: {
    auto: 'sdpa',
    false: 'sdpa',
    ...Object.fromEntries(['flash_attention_2', 'fa2', 'true'].map((name) => [name, 'flash-attention-2'])),
    ...Object.fromEntries(['flash_attention_3', 'fa3'].map((name) => [name, 'flash-attention-3'])),
  },
  tooLong: { raise: 'fail' },
  targets: { 'all-linear': undefined },
  topK: { '-1': undefined, '0': undefined },
  minP: { '0': undefined },
};

/** Of settings that stand among these keys: not every training has each of them. */
function aliasesBeside(keys: readonly string[]): Aliases {
  const all = keys.includes('learningRate') ? training : keys.includes('rank') ? lora : keys.includes('temperature') ? samplingAliases : {};
  return Object.fromEntries(Object.entries(all).filter(([, [key]]) => keys.includes(key)));
}

type Path = readonly PropertyKey[];
/** A setting's path, and the path under which the file has it. */
interface Renamed {
  readonly path: Path;
  /** Where it stands in the document now, if it could not be renamed. */
  readonly found: Path;
  readonly written: Path;
}

/** Replaces aliases by our names, everywhere below `at`. Returns what it renamed, and the aliases that it left because the file has the
 *  setting under our name too. */
export function resolveAliases(document: Document, schema: JsonSchema, at: Path): { renamed: Renamed[]; doubled: Renamed[] } {
  const renamed: Renamed[] = [];
  const doubled: Renamed[] = [];
  /** Lists and objects that stand for several aliases. */
  const made = new Set<Node>();
  const visit = (map: unknown, path: Path): void => {
    if (!isMap(map)) return;
    const keys = keysAt(schema, path.slice(at.length));
    const aliases = aliasesBeside(keys);
    const hoisted = keys.includes('learningRate') ? hoistArguments(map) : undefined;
    for (const pair of map.items.slice()) {
      const key = keyOf(pair);
      const found = [...path, key];
      const written = hoisted?.has(pair) ? [...path, ARGUMENTS, key] : found;
      const ours = Object.hasOwn(aliases, key) ? aliases[key] : undefined;
      const twice = hoisted?.has(pair) === true && map.items.some((other) => other !== pair && keyOf(other) === key);
      if (twice || (ours && !rename(document, map, pair, ours, made))) doubled.push({ path: [...path, ours?.[0] ?? key], found, written });
      else if (ours) renamed.push({ path: [...path, ...(ours as [string])], found, written });
      else if (hoisted?.has(pair)) renamed.push({ path: found, found, written });
      else visit(pair.value, written);
    }
  };
  visit(document.getIn(at), at);
  return { renamed, doubled };
}

/** A block of a training's settings by the names of SFTConfig and DPOConfig. */
const ARGUMENTS = 'arguments';
/** `--set` makes keys without a node. */
const keyOf = (pair: Pair): string => String(isScalar(pair.key) ? pair.key.value : pair.key);

/** Moves the settings in `arguments` beside it, and returns them. */
function hoistArguments(map: YAMLMap): ReadonlySet<Pair> {
  const block = map.get(ARGUMENTS, true);
  if (!isMap(block)) return new Set();
  map.items.splice(
    map.items.findIndex((pair) => keyOf(pair) === ARGUMENTS),
    1,
    ...block.items,
  );
  return new Set(block.items);
}

/** Returns false if the map has the setting already. */
function rename(document: Document, map: YAMLMap, pair: Pair, [key, inner]: OurName, made: Set<Node>): boolean {
  const held = map.get(key, true) as Node | undefined;
  if (held && !made.has(held) && !(key === 'extra' && isMap(held) && !held.has(inner))) return false;
  const { value } = pair;
  const known = values[key] ?? {};
  if (isScalar(value) && Object.hasOwn(known, String(value.value))) value.value = known[String(value.value)];
  const holder = held ?? document.createNode(key === 'betas' ? [0.9, 0.999] : {});
  if (inner !== undefined) {
    made.add(holder);
    (holder as YAMLMap).set(inner, value);
  }
  if (held || (isScalar(value) && value.value === undefined)) map.items.splice(map.items.indexOf(pair), 1);
  else {
    if (isScalar(pair.key)) pair.key.value = key;
    else pair.key = key;
    if (inner !== undefined) pair.value = holder;
  }
  return true;
}

/** Adds aliases to the JSON Schema of an object, for editors. */
export function describeAliases({ properties, required }: { properties?: Record<string, unknown>; required?: string[] }): void {
  if (!properties) return;
  if (Object.hasOwn(properties, 'learningRate'))
    properties[ARGUMENTS] = { type: 'object', description: 'Settings by the names of SFTConfig and DPOConfig of TRL.' };
  for (const [alias, [key, inner]] of Object.entries(aliasesBeside(Object.keys(properties)))) {
    properties[alias] = { description: `The same as ${inner === undefined ? key : `${key}.${inner}`}.` };
    if (required?.includes(key)) required.splice(required.indexOf(key), 1);
  }
}
