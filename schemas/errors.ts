/** Every error that a person or a workflow must act on. The message is a sentence: what was wrong, where, what to do. */

/** The types, and whether trying the same again may help. */
const retryable = {
  ConfigError: false,
  SchemaError: false,
  ArtifactMissing: false,
  ArtifactDamaged: false,
  CapabilityMissing: false,
  TrainingDiverged: false,
  TemplateMismatch: false,
  ModelChanged: false,
  ConservationViolated: false,
  OperatorChanged: false,
  CrashLoop: false,
  /** A step waits for room before it begins; `DiskFull` is of one that has. */
  LowWater: false,
  /** What a person asked the command line for is not there, or not now. */
  NotFound: false,
  NameInUse: false,
  NotUp: false,
  NotOpen: false,
  Refused: false,
  NoOrchestrator: false,
  SearchAttribute: false,
  ServerDown: false,

  WrongVersion: true,
  Overloaded: true,
  Down: true,
  Preempted: true,
  DeviceLost: true,
  DiskFull: true,
  WorkerDied: true,
} as const;

export type ErrorType = keyof typeof retryable;

export class BackspinError extends Error {
  readonly type: ErrorType;

  constructor(type: ErrorType, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = type;
    this.type = type;
  }

  get retryable(): boolean {
    return retryable[this.type];
  }
}
