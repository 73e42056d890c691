/** Faults that the tests of the engine's core must notice. */

export interface Mutant {
  readonly name: string;
  readonly file: string;
  /** What the file has exactly once, and what comes in its place. */
  readonly from: string;
  readonly to: string;
  /** The fastest test file that notices. */
  readonly test: string;
}

export const mutants: readonly Mutant[] = [
  {
    name: 'key: the seed of a step that draws is left out',
    file: 'steps/key.ts',
    from: '? { seed: context.seed, round: isMap',
    to: '? { round: isMap',
    test: 'test/steps/keys.test.ts',
  },
  {
    name: 'key: later operators of a chain count for its beginning',
    file: 'steps/key.ts',
    from: 'const operators = inputs.operators.slice(0, length);',
    to: 'const operators = inputs.operators;',
    test: 'test/steps/keys.test.ts',
  },
  {
    name: 'key: the trainer and the device are left out',
    file: 'steps/key.ts',
    from: '      computing,\n',
    to: '',
    test: 'test/steps/keys.test.ts',
  },
  {
    name: 'key: the server that answers is left out',
    file: 'steps/key.ts',
    from: 'engines: pick(inputs.engines, roles),',
    to: 'engines: {},',
    test: 'test/steps/keys.test.ts',
  },
  {
    name: 'journal: a torn line stays',
    file: 'steps/journal.ts',
    from: 'if (end < bytes.length) ftruncateSync(this.#fd, end);',
    to: '',
    test: 'test/steps/journal.test.ts',
  },
  {
    name: 'journal: replies of earlier starts are asked again',
    file: 'steps/journal.ts',
    from: '(this.#earlier?.reply(key) as { reply: T; tokens: number } | undefined) ?? (await ask())',
    to: 'await ask()',
    test: 'test/steps/windows.test.ts',
  },
  {
    name: 'journal: a call is known by its record alone',
    file: 'steps/journal.ts',
    from: '`${r}#${n}`',
    to: '`${r}#${n.slice(0, 0)}`',
    test: 'test/steps/journal.test.ts',
  },
  {
    name: 'journal: attempts before a kill are forgotten',
    file: 'steps/journal.ts',
    from: 'this.#keep(line.r, line.done, line.attempts);',
    to: 'this.#keep(line.r, line.done);',
    test: 'test/steps/attempts.test.ts',
  },
  {
    name: 'commit: a source counts once for each record kept of it',
    file: 'steps/commit.ts',
    from: 'if (rows > rowsBefore) counts.kept++;',
    to: 'counts.kept += rows - rowsBefore;',
    test: 'test/steps/windows.test.ts',
  },
  {
    name: 'commit: only the whole chain is committed',
    file: 'steps/commit.ts',
    from: 'for (let op = whole ? skip : last;',
    to: 'for (let op = last;',
    test: 'test/steps/windows.test.ts',
  },
  {
    name: 'commit: records lost between two operators pass',
    file: 'steps/joined.ts',
    from: '|| new Set(made.map(({ from }) => from[0])).size !== undropped.size',
    to: '',
    test: 'test/steps/windows.test.ts',
  },
  {
    name: 'ledger: an answer holds for other reports too',
    file: 'workflows/ledger.ts',
    from: "const key = [path, ...digests].join(' ');",
    to: 'const key = path;',
    test: 'test/workflows/ledger.test.ts',
  },
  {
    name: 'ledger: a lost input is not made again',
    file: 'workflows/ledger.ts',
    from: 'delete this.steps[key];',
    to: 'void key;',
    test: 'test/workflows/ledger.test.ts',
  },
  {
    name: 'ledger: a fork takes its results whatever their inputs are',
    file: 'workflows/ledger.ts',
    from: 'pin && pin.inputs.join() === [...new Set(refsIn(call.inputs).map((ref) => ref.digest))].sort().join();',
    to: 'pin;',
    test: 'test/workflows/ledger.test.ts',
  },
  {
    name: 'latch: it opens steps while it closes',
    file: 'workflows/scopes.ts',
    from: 'if (this.#closing) await never;',
    to: '',
    test: 'test/workflows/latch.test.ts',
  },
  {
    name: 'latch: it is drained while a step is open',
    file: 'workflows/scopes.ts',
    from: 'return this.#closing && this.#open === 0;',
    to: 'return this.#closing;',
    test: 'test/workflows/latch.test.ts',
  },
  {
    name: 'latch: a step that failed stays open',
    file: 'workflows/scopes.ts',
    from: `    try {
      return await body();
    } finally {
      this.#open--;
    }`,
    to: `    const result = await body();
    this.#open--;
    return result;`,
    test: 'test/workflows/latch.test.ts',
  },
  {
    name: 'limiter: nothing is taken back after a refusal',
    file: 'inference/adaptive.ts',
    from: 'const DECREASE = 0.8;',
    to: 'const DECREASE = 1;',
    test: 'test/inference/adaptive.test.ts',
  },
  {
    name: 'limiter: it never grows',
    file: 'inference/adaptive.ts',
    from: '(this.#doubling ? 1 : 1 / Math.max(MIN_REPLIES_PER_INCREASE, this.#limit))',
    to: '0',
    test: 'test/inference/adaptive.test.ts',
  },
  {
    name: 'limiter: a server that is down is asked by all',
    file: 'inference/adaptive.ts',
    from: '(this.#breaker.open ? 1 : Math.floor(this.#limit))',
    to: 'Math.floor(this.#limit)',
    test: 'test/inference/adaptive.test.ts',
  },
  {
    name: 'limiter: Retry-After is waited for by one alone',
    file: 'inference/adaptive.ts',
    from: 'this.#pausedUntil = Math.max(this.#pausedUntil, now + wait);',
    to: '',
    test: 'test/inference/adaptive.test.ts',
  },
  {
    name: 'retries: a call that fails by itself is tried once more than it may be',
    file: 'steps/model-calls.ts',
    from: 'if (times >= failure.limit)',
    to: 'if (times > failure.limit)',
    test: 'test/steps/failures.test.ts',
  },
  {
    name: 'retries: an unknown error is tried once more than it may be',
    file: 'activities/wrap.ts',
    from: 'times >= counted.limit',
    to: 'times > counted.limit',
    test: 'test/activities/wrap.test.ts',
  },
  {
    name: 'retries: a request that fails alone is sent once more than it may be',
    file: 'inference/adaptive.ts',
    from: 'if (++ownFailures === MAX_OWN_FAILURES[error.type]) throw error.asOwnFault();',
    to: 'ownFailures++;',
    test: 'test/inference/adaptive.test.ts',
  },
  {
    name: 'training: token weights only mask tokens',
    file: 'trainer/backspin_trainer/preferences.py',
    from: 'return -(weights * nll).sum(-1)',
    to: 'return -((weights != 0) * nll).sum(-1)',
    test: 'trainer/tests/test_mathematics.py',
  },
  {
    name: 'training: beta is always 0.1',
    file: 'trainer/backspin_trainer/training.py',
    from: 'preference_loss(ratios, self.spec.beta)',
    to: 'preference_loss(ratios, 0.1)',
    test: 'trainer/tests/test_mathematics.py',
  },
  {
    name: 'training: gradients are not clipped',
    file: 'trainer/backspin_trainer/training.py',
    from: 'max_grad_norm=spec.clip or 0.0,',
    to: 'max_grad_norm=0.0,',
    test: 'trainer/tests/test_mathematics.py',
  },
  {
    name: 'training: betas are always the same',
    file: 'trainer/backspin_trainer/training.py',
    from: 'betas=self.spec.betas,',
    to: 'betas=(0.5, 0.6),',
    test: 'trainer/tests/test_mathematics.py',
  },
  {
    name: 'training: weights do not decay',
    file: 'trainer/backspin_trainer/training.py',
    from: 'decay = self.spec.weight_decay',
    to: 'decay = 0.0',
    test: 'trainer/tests/test_mathematics.py',
  },
  {
    name: 'training: alpha is always twice the rank',
    file: 'trainer/backspin_trainer/adapters.py',
    from: 'lora_alpha=lora.alpha,',
    to: 'lora_alpha=2 * lora.rank,',
    test: 'trainer/tests/test_mathematics.py',
  },
  {
    name: 'training: adapters never drop out',
    file: 'trainer/backspin_trainer/adapters.py',
    from: 'lora_dropout=lora.dropout,',
    to: 'lora_dropout=0.0,',
    test: 'trainer/tests/test_mathematics.py',
  },
  {
    name: 'tagger: intents have no loss',
    file: 'trainer/backspin_trainer/tagger.py',
    from: 'return cross_entropy(logits["intents"].float(), intents) + of_tags / words',
    to: 'return of_tags / words',
    test: 'trainer/tests/test_tagger.py',
  },
  {
    name: 'tagger: a slot may go on with another type',
    file: 'trainer/backspin_trainer/data.py',
    from: 'if prefix == "I" and before[1:] != tag[1:]:',
    to: 'if prefix == "I" and before == "O":',
    test: 'trainer/tests/test_tagger.py',
  },
  {
    name: 'tagger: the end of a slot does not matter',
    file: 'operators/eval/tagging.ts',
    from: ' && to === one.to',
    to: '',
    test: 'test/operators/tagging.test.ts',
  },
  {
    name: 'tagger: local numbers are over all sentences',
    file: 'operators/eval/tagging.ts',
    from: 'read.filter(({ item }) => item.intent === intent)',
    to: 'read',
    test: 'test/operators/tagging.test.ts',
  },
  {
    name: 'tagger: any model is taken for one',
    file: 'steps/checks.ts',
    from: 'if ((await isTagger(model)) === wanted) continue;',
    to: 'continue;',
    test: 'test/steps/tag.test.ts',
  },
];
