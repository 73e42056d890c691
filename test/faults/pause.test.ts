import test from 'ava';
import { Miniature } from '../support/miniature.ts';
import { pause } from '../support/miniature-pause.ts';

test('paused in mid-shard, an experiment stops and frees the device within 2 s, and asks nothing more', async (t) => {
  const world = new Miniature();
  const step = async () => (await world.status()).steps.find(({ path, stepKey }) => path === 'backtranslate' && stepKey !== null);
  try {
    await world.up();
    await world.launch();
    await world.until(async () => (await step()) !== undefined, 200_000, 'something is generated');
    const { stage, lease } = await pause(world, (await step())!, 5);
    t.log({ stage, lease });
    t.true(stage <= 2);
    t.true(lease <= 2);
    t.is((await world.status()).state, 'paused');
  } finally {
    await world.down();
  }
  t.true(world.empty);
  world.remove();
});
