/** What the users of these tests have in common: they type commands, and wait for the end of an experiment. */
import type { ExecutionContext } from 'ava';
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import type { View } from '../../experiments/view.ts';
import { realPython } from '../support/devices.ts';
import type { HubHome } from '../support/hub-home.ts';

/** Runs a program, or a file, of the trainer's Python. Returns what it prints. */
export async function python(...args: readonly string[]): Promise<string> {
  const env = { ...process.env, HF_HUB_OFFLINE: '1', TOKENIZERS_PARALLELISM: 'false' };
  return (await promisify(execFile)(realPython(), args, { env })).stdout;
}

/** Plans and launches an experiment file, and returns the experiment at its end. */
export async function completed(t: ExecutionContext, { run }: HubHome, file: string, name: string): Promise<View> {
  const planned = await run('plan', file);
  t.is(planned.code, 0, planned.stdout + planned.stderr);
  t.teardown(() => run('down'));
  const launched = await run('launch', file, '--watch');
  t.is(launched.code, 0, launched.stdout + launched.stderr);
  const view = JSON.parse((await run('status', name, '--json')).stdout) as View;
  t.is(view.state, 'completed');
  return view;
}
