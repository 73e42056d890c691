/** Reads and removes `devices/SLOT.json`: one file per device group that tells its next owner what runs there. */
import { globSync, readFileSync, rmSync } from 'node:fs';
import { basename, join } from 'node:path';
import { slotRecord, type SlotRecord } from '../schemas/devices.ts';
import { writeAtomic } from '../store/files.ts';
import { alive, self } from './processes.ts';

/** Records of everything that runs, or was left, on the device groups of this host. Skips damaged files. */
export const recordsIn = (folder: string): SlotRecord[] => filesIn(folder).flatMap(({ record }) => record ?? []);

export const recordOf = (folder: string, slot: string): SlotRecord | undefined => recordsIn(folder).find((record) => record.slot === slot);

/** Names of the device groups with damaged files, which a power failure can leave. */
export const damagedIn = (folder: string): string[] =>
  filesIn(folder).flatMap(({ file, record }) => (record ? [] : [basename(file, '.json')]));

function filesIn(folder: string): { readonly file: string; readonly record: SlotRecord | undefined }[] {
  return globSync(join(folder, '*.json')).flatMap((file) => {
    try {
      const record = slotRecord.parse(JSON.parse(readFileSync(file, 'utf8')));
      return [{ file, record: `${record.slot}.json` === basename(file) ? record : undefined }];
    } catch (error) {
      return (error as NodeJS.ErrnoException).code === 'ENOENT' ? [] : [{ file, record: undefined }]; // released in the meantime
    }
  });
}

export const writeRecord = (folder: string, record: SlotRecord): Promise<void> =>
  writeAtomic(join(folder, `${record.slot}.json`), JSON.stringify(record));

/** Removes a record, unless another one has replaced it. */
export function removeRecord(folder: string, { slot, marker }: SlotRecord): void {
  if (recordOf(folder, slot)?.marker === marker) rmSync(join(folder, `${slot}.json`), { force: true });
}

export const ownerLives = ({ owner, ownerStart }: SlotRecord): boolean => alive(owner, ownerStart);
/** Whether this process owns the subprocess of a record. */
export const isOurs = ({ owner, ownerStart }: SlotRecord): boolean => owner === self.pid && ownerStart === self.start;
/** Whether a task can reuse the server of a record. */
export const canReuse = (record: SlotRecord, task?: { readonly warm?: string | undefined }): boolean =>
  record.warm !== null && record.warm === task?.warm;
