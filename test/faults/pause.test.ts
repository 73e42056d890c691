import test from 'ava';
import { Miniature } from '../support/miniature.ts';
import { pause } from '../support/miniature-pause.ts';

test('paused in mid-batch, an experiment stops and frees the device, and asks nothing more', async (t) => {
  const world = new Miniature();
  const step = async () => (await world.status()).steps.find(({ path, stepKey }) => path === 'backtranslate' && stepKey !== null);
  try {
    await world.up();
    await world.launch();
    await world.until(async () => (await step()) !== undefined, 1_000_000, 'something is generated');
    const { stepKey } = (await step())!;
    await world.until(() => world.slot(stepKey!) !== undefined, 1_000_000, 'it has a device');
    const { marker } = world.slot(stepKey!)!;
    t.log(await pause(world, (await step())!, 5), 'seconds');
    const { done } = (await world.live('map', stepKey!))!;
    t.is((await world.status()).state, 'paused');
    // What a step that is over has left warm gives way.
    const held = world.slots().filter((one) => one.key !== 'warm' || one.marker === marker);
    t.deepEqual([(await world.live('map', stepKey!))!.done, held], [done, []]);
  } finally {
    await world.down();
  }
  t.true(world.empty);
  world.remove();
});
