/** Remembers how many rows a device could compute at once in trainings that ran out of memory. The next one like them starts there. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { canonicalJson, sha256 } from '../schemas/canonical.ts';
import type { TrainSpec } from '../schemas/trainer.ts';
import { writeAtomic } from '../store/files.ts';

/** `micro-batches.json` in the home: key -> rows. */
const file = z.record(z.string(), z.int().min(1));

export class MicroBatches {
  readonly #path: string;

  constructor(home: string) {
    this.#path = join(home, 'micro-batches.json');
  }

  /** Undefined: no training like this one has run out of memory. `model` is the digest of the model that it starts from, `device` the kind of
   *  its device. */
  get(model: string, device: string, spec: TrainSpec): number | undefined {
    return this.#read()[keyOf(model, device, spec)];
  }

  async put(model: string, device: string, spec: TrainSpec, rows: number): Promise<void> {
    await writeAtomic(this.#path, JSON.stringify({ ...this.#read(), [keyOf(model, device, spec)]: rows }));
  }

  /** A file that is missing or damaged remembers nothing: the trainings find out again. */
  #read(): Record<string, number> {
    try {
      return file.parse(JSON.parse(readFileSync(this.#path, 'utf8')));
    } catch {
      return {};
    }
  }
}

/** What decides how much memory a row takes. */
const keyOf = (model: string, device: string, { objective, lora, adapter, maxTokens, optimizer, shard }: TrainSpec): string =>
  sha256(canonicalJson({ model, device, objective, lora, adapter, maxTokens, optimizer, shard }));
