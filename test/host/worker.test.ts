import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import test from 'ava';
import { root } from '../cli/cli.ts';

test('a worker whose end is held up exits after a signal, so that the next one starts', async (t) => {
  const script = `
    import { runWorkers } from './workers/worker.ts';
    const open = { close: () => new Promise(() => {}) };
    await runWorkers([{ run: () => new Promise(() => setInterval(() => {}, 1000)) }], { connection: open, client: { connection: open } }, 300);`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], { cwd: root, stdio: ['ignore', 'pipe', 'pipe'] });
  t.teardown(() => child.kill('SIGKILL'));
  const said = text(child.stderr);
  await once(child.stdout, 'data');
  child.kill('SIGTERM');
  const [code] = (await once(child, 'exit')) as [number | null];
  t.is(code, 70);
  t.regex(await said, /not at its end 0\.3 s after SIGTERM: it exits/);
});
