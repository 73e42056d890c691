/** Types of the errors that a user or a workflow must act on. A message is a sentence: what is wrong, where, what to do. */

/** Error types -> whether a retry may help. */
const retryable = {
  ConfigError: false,
  SchemaError: false,
  ArtifactMissing: false,
  ArtifactDamaged: false,
  CapabilityMissing: false,
  TrainingDiverged: false,
  /** Not even one row at a time fits into the memory of the device. */
  OutOfMemory: false,
  TemplateMismatch: false,
  ModelChanged: false,
  ConservationViolated: false,
  OperatorChanged: false,
  CrashLoop: false,
  /** A step waits for free disk space before it begins; a running step throws `DiskFull`. */
  LowWater: false,
  /** Something that the user of the command line named does not exist, or not now. */
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
