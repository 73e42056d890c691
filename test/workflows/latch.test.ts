/** The latch that an experiment continues as new behind. */
import test from 'ava';
import { DrainLatch } from '../../workflows/scopes.ts';

/** Resolves once everything that can go on has gone on. */
const turn = () => new Promise<void>((done) => setImmediate(done));

test('it is drained once it has closed and everything that was open is over', async (t) => {
  const latch = new DrainLatch();
  const { promise, resolve } = Promise.withResolvers<void>();
  const open = latch.through(() => promise);
  t.false(latch.drained);
  latch.close();
  t.false(latch.drained, 'a step is open');
  resolve();
  await open;
  t.true(latch.drained);
});

test('nothing begins behind a closed latch', async (t) => {
  const latch = new DrainLatch();
  latch.close();
  let begun = false;
  void latch.through(async () => {
    begun = true;
  });
  await turn();
  t.false(begun);
  t.true(latch.drained);
});

test('what fails is over too, and its error comes through', async (t) => {
  const latch = new DrainLatch();
  await t.throwsAsync(
    latch.through(() => Promise.reject(new Error('failed'))),
    { message: 'failed' },
  );
  latch.close();
  t.true(latch.drained);
});
