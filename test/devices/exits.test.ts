import test from 'ava';
import { Crashes } from '../../devices/exits.ts';

/** Ends a child at these minutes, which got on before each or not; gives how many ends it took. */
function ends(minutes: readonly number[], gotOn: boolean): number {
  const { now } = performance;
  const crashes = new Crashes();
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
