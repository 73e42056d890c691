import { closeSync, existsSync, mkdtempSync, openSync, symlinkSync, writeFileSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { CrashCounter, errorOfExit } from '../../devices/exits.ts';

/** Ends a child at these minutes, which got on before each or not; gives how many ends it took. */
function ends(minutes: readonly number[], gotOn: boolean): number {
  const { now } = performance;
  const crashes = new CrashCounter();
  try {
    for (const [index, minute] of minutes.entries()) {
      performance.now = () => minute * 60_000;
      try {
        crashes.add('It', 'killed', '/nowhere', gotOn);
      } catch {
        return index + 1;
      }
    }
    return Infinity;
  } finally {
    performance.now = now;
  }
}

test.serial('the third end is one too many within ten minutes, and whenever it comes where nothing got on in between', (t) => {
  t.is(ends([0, 4, 8], true), 3);
  t.is(ends([0, 6, 12, 18, 24], true), Infinity);
  t.is(ends([0, 15, 30], false), 3);
});

test('of a log of any length the last lines are read, and no more', (t) => {
  const log = join(mkdtempSync(join(tmpdir(), 'backspin-')), 'server.log');
  writeFileSync(log, '');
  const file = openSync(log, 'r+');
  writeSync(file, '\nbefore\nit ran out of memory\n', 3 * 2 ** 30); // more than a string can hold, and no room on the disk
  closeSync(file);
  t.is(errorOfExit(64, log)!.message, 'it ran out of memory');
  const crashes = new CrashCounter();
  const crash = () => crashes.add('It', 'killed', log, false);
  crash();
  crash();
  t.regex(t.throws(crash).message, /ends with:\nbefore\nit ran out of memory$/);
});

test('a child that ends on a full disk, where it can leave neither a word nor its code, has not crashed', (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'backspin-'));
  const crashes = new CrashCounter();
  const crash = () => crashes.add('It', 'killed', join(folder, 'train.log'), false);
  for (let n = 0; n < 5; n++) {
    symlinkSync('/dev/full', join(folder, 'room'));
    t.throws(crash, { name: 'DiskFull', message: /is full: free some space/ });
  }
  crash();
  crash();
  t.throws(crash, { name: 'CrashLoop' });
  t.false(existsSync(join(folder, 'room')));
});
