/** Writes the rows of a training: renders each record by the template, and collects the records that the template or the trainer refuses.
 */
import { join } from 'node:path';
import { z } from 'zod';
import { canonicalJson, sha256 } from '../schemas/canonical.ts';
import type { DatasetRef } from '../schemas/call.ts';
import type { Rec } from '../recipe/define.ts';
import type { Registry } from './registry.ts';
import { BackspinError } from '../schemas/errors.ts';
import { faultOf, isBlankIn } from '../schemas/faults.ts';
import { isThere, readLines, writeLines } from '../store/files.ts';
import type { Store } from '../store/store.ts';
import type { DropCounter } from './commit.ts';
import type { AnyTemplate } from './resolved.ts';

export interface Rendering {
  readonly store: Store;
  readonly registry: Registry;
  readonly data: DatasetRef;
  readonly template?: string | undefined;
  /** Share of the rows that is held out. */
  readonly share?: number | undefined;
  /** The run folder. `rows.jsonl` is input of the trainer, `refused.jsonl` its output. */
  readonly folder: string;
}
interface Refusal {
  readonly reason: string;
  readonly evidence: string;
}
export interface Refused extends Refusal {
  readonly record: Rec<unknown>;
}

const refusal = z.object({ line: z.int().min(1), reason: z.string(), evidence: z.string() });

export const rowsFile = (folder: string) => join(folder, 'rows.jsonl');

/** Writes a row for each record that the template renders. Returns the number of rows, those of them that are held out, and the refused
 *  records. */
export async function writeRows(rendering: Rendering): Promise<{ kept: number; heldOut: number; refused: Refused[] }> {
  const { share = 0, folder } = rendering;
  const refused: Refused[] = [];
  let [kept, heldOut] = [0, 0];
  async function* rows() {
    for await (const { record, row, refusal } of rendered(rendering)) {
      const held = row !== undefined && isHeldOut(row, share);
      if (refusal) refused.push({ record, ...refusal });
      else kept++;
      if (held && !refusal) heldOut++;
      if (row !== undefined) yield held ? { ...row, heldOut: true } : row;
    }
  }
  await writeLines(rowsFile(folder), rows());
  return { kept, heldOut, refused };
}

/** By a hash of the row's prompt, or of its group: rows that belong together, and equal rows of all trainings, are on the same side. */
function isHeldOut(row: object, share: number): boolean {
  if (share === 0) return false;
  const { group, prompt, messages, text, tokens } = row as Record<string, unknown>;
  const asked = Array.isArray(messages) && messages.length > 1 ? messages.slice(0, -1) : messages;
  const hash = sha256(canonicalJson(group ?? prompt ?? asked ?? text ?? tokens ?? null));
  return Number.parseInt(hash.slice(0, 12), 16) / 2 ** 48 < share;
}

/** Adds the refused records to `drops`. */
export async function dropRefused(rendering: Rendering, drops: DropCounter): Promise<void> {
  for await (const { record, refusal } of rendered(rendering))
    if (refusal) await drops.add(record.id, refusal.reason, refusal.evidence, record.value);
}

interface Rendered {
  readonly record: Rec<unknown>;
  /** Undefined: the template refuses the record. */
  readonly row: object | undefined;
  /** Undefined: the trainer has not refused the row so far. */
  readonly refusal: Refusal | undefined;
}

async function* rendered({ store, registry, data, template, folder }: Rendering): AsyncGenerator<Rendered> {
  const byTrainer = await refusedIn(folder);
  const render = template === undefined ? (value: unknown) => value : rendererOf(registry.template(template) as AnyTemplate);
  let line = 0;
  for await (const record of store.read(data)) {
    let row: object;
    try {
      row = render(record.value) as object;
    } catch (error) {
      if (error instanceof BackspinError) throw error;
      const reason = isBlankIn(error, record.value) ? 'empty' : 'invalid';
      yield { record, row: undefined, refusal: { reason, evidence: `${template} cannot render it: ${faultOf(error, record.value)}` } };
      continue;
    }
    yield { record, row, refusal: byTrainer.get(++line) };
  }
}
const rendererOf =
  ({ input, render }: AnyTemplate) =>
  (value: unknown) =>
    render(input ? input.parse(value) : value);

async function refusedIn(folder: string): Promise<Map<number, Refusal>> {
  const path = join(folder, 'refused.jsonl');
  const refusals = new Map<number, Refusal>();
  if (!(await isThere(path))) return refusals;
  for await (const value of readLines(path)) {
    const { line, ...why } = refusal.parse(value);
    refusals.set(line, why);
  }
  return refusals;
}
