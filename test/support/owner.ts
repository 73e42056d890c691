/** Runs a worker with a single subprocess: `owner.ts serve|train HOME OPTIONS PYTHON MODEL`. Lives until it is killed. */
import { ModelServer, type ServerOptions } from '../../devices/server.ts';
import { Slots } from '../../devices/slots.ts';
import { engine } from './devices.ts';
import { train, type TrainOptions } from '../../devices/trainer.ts';

const [, , verb, home, options, python, model] = process.argv;
setInterval(() => {}, 60_000);
const { signal } = new AbortController();
const slot = await new Slots({ home: home!, pool: 'cpu', groups: [[]], reapAfter: 600_000 }).acquire(signal);
if (verb === 'serve')
  await ModelServer.start({ ...(JSON.parse(options!) as ServerOptions), engine: engine('m', model, python), slot, signal });
else await train({ ...(JSON.parse(options!) as TrainOptions), slot, signal });
