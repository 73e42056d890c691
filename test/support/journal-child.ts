/** Appends records to a journal until an append fails; prints how many succeeded, and whether a later append succeeds. */
import { Journal } from '../../steps/journal.ts';

const journal = await Journal.open(process.argv[2]!);
const finish = async (n: number): Promise<boolean> => {
  try {
    await journal.finish(`record-${n}`, { kept: [[{ id: `${n}`, from: [], value: 'x'.repeat(100) }]], dropped: [] }, 0);
    return true;
  } catch {
    return false;
  }
};
let taken = 0;
while (await finish(taken)) taken++;
console.log(JSON.stringify({ taken, more: await finish(0) }));
