/** Slots in BIO tags. */

/** Tokens `from` to `to`, both counted from 0 and both in the slot. */
export interface Slot {
  readonly type: string;
  readonly from: number;
  readonly to: number;
}

/** The slots of a sentence, as conlleval and seqeval (not its strict mode) find them: a `B-` begins one, and so does an `I-` that does not
 *  continue a slot of its own type. */
export function slotsOf(tags: readonly string[]): Slot[] {
  const slots: Slot[] = [];
  for (const [at, tag] of tags.entries()) {
    const [, prefix, type] = /^([BI])-(.+)$/s.exec(tag) ?? [];
    if (type === undefined) continue;
    const open = slots.at(-1);
    if (prefix === 'I' && open?.type === type && open.to === at - 1) slots[slots.length - 1] = { ...open, to: at };
    else slots.push({ type, from: at, to: at });
  }
  return slots;
}
