/** Exports pushed to a stand-in for the Hugging Face Hub. */
import type { ChildProcess } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { openStore } from '../../store/local.ts';
import { hubHome } from '../support/hub-home.ts';
import { backspin, command, temporary } from './cli.ts';
import { dataset, home as homeOf, step } from './completed.ts';

const commits = (seen: readonly { readonly path: string }[]) => seen.filter(({ path }) => path.includes('/commit/')).length;

async function pushed(t: Parameters<typeof hubHome>[0]) {
  const { hub, env } = await hubHome(t);
  const home = await homeOf();
  const store = await openStore(join(home, 'store'));
  const gone = await dataset(store, [{ id: 'a', reason: 'no-score', evidence: null, value: { text: 'x' } }]);
  const steps = [await step(store, 'pairs', await dataset(store, [{ instruction: 'a', response: 'b' }]), gone)];
  await store.putExperiment({ ...(await store.experiment('toy'))!, steps });
  return { hub, home, env: { ...env, HF_TOKEN: 'hf_mine' } };
}
const args = ['export', 'toy', 'pairs', '--push', 'student/pairs'];

test('a push that is killed between two files goes on with the others, the card last', async (t) => {
  const { hub, home, env } = await pushed(t);
  let child: ChildProcess | undefined;
  hub.fault = ({ path }) => {
    if (!path.includes('/commit/') || commits(hub.seen) < 2) return undefined;
    child!.kill('SIGKILL');
    return { status: 503 };
  };
  t.is((await backspin(home, args, env, command, (started) => (child = started))).code, null);
  t.deepEqual([...hub.files('datasets', 'student/pairs')!.keys()], ['data.jsonl']);

  hub.fault = () => undefined;
  const before = commits(hub.seen);
  const to = join(temporary(), 'out');
  const { code, stdout, stderr } = await backspin(home, [...args, '--to', to], env);
  t.is(code, 0, stderr);
  t.is(commits(hub.seen) - before, 2);
  t.regex(stdout, /dropped\.jsonl: sent \(1\)\nREADME\.md: sent \(2\)\n.*student\/pairs: 2 files sent, 1 were there/);
  const files = hub.files('datasets', 'student/pairs')!;
  t.deepEqual([...files.keys()], ['data.jsonl', 'dropped.jsonl', 'README.md']);
  for (const [name, bytes] of files) t.deepEqual(bytes, readFileSync(join(to, name)), name);

  t.regex((await backspin(home, args, env)).stdout, /: 0 files sent, 3 were there/);
});

test('a failure of the network is tried again; a token without the right to write is an error that says so', async (t) => {
  const { hub, home, env } = await pushed(t);
  let failures = 1;
  hub.fault = ({ path }) => (path.includes('/commit/') && failures-- > 0 ? { status: 500 } : undefined);
  const again = await backspin(home, args, env);
  t.is(again.code, 0, again.stderr);
  t.is(hub.files('datasets', 'student/pairs')!.size, 3);

  hub.fault = ({ path }) => (path.endsWith('/create') ? { status: 403 } : undefined);
  const refused = await backspin(home, [...args.slice(0, -1), 'other/pairs'], env);
  t.is(refused.code, 1);
  t.regex(refused.stderr, /refuses the dataset other\/pairs to your token \(403\).*to write/);
});

test('a repository has one kind of thing: a place is needed, and a name like owner/name', async (t) => {
  const { home, env } = await pushed(t);
  t.regex((await backspin(home, ['export', 'toy', 'pairs'], env)).stderr, /--to FOLDER, or --push OWNER\/NAME/);
  t.regex((await backspin(home, [...args.slice(0, -1), 'a/b/c'], env)).stderr, /'a\/b\/c' cannot be on the Hub: a name is owner\/name/);
});
