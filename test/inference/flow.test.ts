import test from 'ava';
import { RecordScheduler } from '../../inference/flow.ts';

const never = new AbortController().signal;

/** Items that end when they are told to; and what happened, in order. */
function world(most: number) {
  const flow = new RecordScheduler(most);
  const events: string[] = [];
  const ends = new Map<string, PromiseWithResolvers<void>>();
  const batch = (name: string, items: string, signal = never) => {
    const read = async () => {
      events.push(`${name} read`);
      return items.split('');
    };
    const body = (item: string) => {
      events.push(item);
      ends.set(item, Promise.withResolvers());
      return ends.get(item)!.promise;
    };
    return flow.each(read, signal, body, () => events.push(`${name} under way`));
  };
  const after = async (what: () => void) => {
    what();
    await settled();
    return events.splice(0);
  };
  return {
    batch,
    after,
    ends: (items: string) => items.split('').forEach((item) => ends.get(item)!.resolve()),
    fails: (item: string, why: string) => ends.get(item)!.reject(new Error(why)),
  };
}
const settled = () => new Promise((done) => setImmediate(done));

test('so many are under way at once, those of one batch before those of the next, which is read only then', async (t) => {
  const { batch, after, ends } = world(3);
  const both: Promise<void>[] = [];
  t.deepEqual(await after(() => both.push(batch('first', 'abcd'), batch('second', 'xy'))), ['first read', 'a', 'b', 'c']);
  t.deepEqual(await after(() => ends('b')), ['d', 'first under way', 'second read']);
  t.deepEqual(await after(() => ends('dc')), ['x', 'y', 'second under way'], 'it begins while the last of the first is waited for');
  ends('axy');
  await Promise.all(both);
});

test('the first failure starts no more, and is thrown once none is running; the next batch goes on', async (t) => {
  const { batch, after, ends, fails } = world(2);
  const both: Promise<unknown>[] = [];
  let over = false;
  const failing = () =>
    t.throwsAsync(
      batch('first', 'abcd').finally(() => (over = true)),
      { message: 'no' },
    );
  t.deepEqual(await after(() => both.push(failing(), batch('second', 'x'))), ['first read', 'a', 'b']);
  t.deepEqual(await after(() => fails('a', 'no')), ['first under way', 'second read', 'x', 'second under way']);
  t.false(over);
  ends('bx');
  await Promise.all(both);
});

test('an abort ends a batch that waits for its turn or for a place, and takes nothing from the others', async (t) => {
  const { batch, after, ends } = world(1);
  const [place, turn] = [new AbortController(), new AbortController()];
  const all: Promise<unknown>[] = [];
  await after(() => {
    all.push(batch('first', 'a'));
    all.push(t.throwsAsync(batch('second', 'b', place.signal), { message: 'place' }));
    all.push(t.throwsAsync(batch('third', 'c', turn.signal), { message: 'turn' }));
    all.push(batch('fourth', 'd'));
  });
  t.deepEqual(await after(() => turn.abort(new Error('turn'))), []);
  t.deepEqual(await after(() => place.abort(new Error('place'))), ['second under way', 'fourth read']);
  t.deepEqual(await after(() => ends('a')), ['d', 'fourth under way']);
  ends('d');
  await Promise.all(all);
});
