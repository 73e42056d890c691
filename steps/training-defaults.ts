/** Fills in the defaults of a training's settings, so it makes no difference whether you write a default down. */
import type { Objective, Settings } from '../recipe/api.ts';
import type { TrainSpec } from '../schemas/trainer.ts';

type Settled = Pick<
  TrainSpec,
  | 'objective'
  | 'lora'
  | 'adapter'
  | 'maxTokens'
  | 'tooLong'
  | 'learningRate'
  | 'schedule'
  | 'warmup'
  | 'weightDecay'
  | 'betas'
  | 'clip'
  | 'dropout'
  | 'optimizer'
  | 'quantization'
  | 'attention'
  | 'packing'
  | 'liger'
  | 'beta'
>;

/** Objectives whose loss compares the model with a reference by `beta`. */
const hasBeta = (objective: Settings<Objective>['objective']): boolean => ['dpo', 'token-dpo', 'kto'].includes(objective);

/** The loss of a preference training. */
export const pairLossOf = ({ loss = 'sigmoid', gamma, sft = 0 }: Pick<Settings<'dpo'>, 'loss' | 'gamma' | 'sft'>) => ({
  loss,
  gamma: loss === 'simpo' ? (gamma ?? 0.5) : null,
  sft,
});

export function withTrainingDefaults(settings: Settings): Settled {
  const { lora, learningRate: rate } = settings;
  return {
    objective: settings.objective,
    lora: lora && { rank: lora.rank, alpha: lora.alpha, targets: lora.targets ? [...lora.targets] : null, dropout: lora.dropout ?? 0 },
    adapter: settings.adapter,
    maxTokens: settings.maxTokens,
    tooLong: settings.tooLong ?? 'drop',
    learningRate: typeof rate === 'number' ? { from: rate, to: null } : rate,
    schedule: settings.schedule ?? 'linear',
    warmup: settings.warmup ?? 0,
    weightDecay: settings.weightDecay ?? 0,
    betas: [...(settings.betas ?? [0.9, 0.999])] as [number, number],
    clip: settings.clip === undefined ? 1 : settings.clip,
    dropout: settings.dropout ?? 0,
    optimizer: settings.optimizer ?? 'adamw',
    quantization: settings.quantization ?? 'none',
    attention: settings.attention ?? 'sdpa',
    packing: settings.packing ?? false,
    liger: settings.liger ?? false,
    beta: hasBeta(settings.objective) ? (settings.beta ?? 0.1) : null,
  };
}
