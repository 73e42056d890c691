/** Exports pushed to a stand-in for the Hugging Face Hub. */
import type { ChildProcess } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { openStore } from '../../store/local.ts';
import { hubHome } from '../support/hub-home.ts';
import type { HubRequest } from '../support/hub.ts';
import { backspin, command, temporary } from './cli.ts';
import { dataset, home as homeOf, key, step } from './completed.ts';

const uploads = (seen: readonly HubRequest[]) => seen.flatMap(({ method, path }) => (method === 'PUT' ? [path.split('/').at(-1)!] : []));
/** A text that is not small when it is compressed. */
const long = (name: string) => Array.from({ length: 4000 }, (_, n) => key(`${name} ${n}`)).join(' ');

async function pushed(t: Parameters<typeof hubHome>[0], large = false) {
  const { hub, env } = await hubHome(t);
  const home = await homeOf();
  const store = await openStore(join(home, 'store'));
  const text = (name: string) => (large ? long(name) : name);
  const gone = await dataset(store, [{ id: 'a', reason: 'no-score', evidence: null, value: { text: text('x') } }]);
  const steps = [await step(store, 'pairs', await dataset(store, [{ instruction: 'a', response: text('b') }]), gone)];
  await store.putExperiment({ ...(await store.experiment('toy'))!, steps });
  return { hub, home, env: { ...env, HF_TOKEN: 'hf_mine' } };
}
const args = ['export', 'toy', 'pairs', '--push', 'student/pairs'];
const names = ['README.md', 'data.jsonl', 'dropped.jsonl'];

test('a push that is killed in the midst of an upload goes on with the other files, and changes the repository once', async (t) => {
  const { hub, home, env } = await pushed(t, true);
  const killed = async (when: (request: HubRequest) => boolean) => {
    let child: ChildProcess | undefined;
    hub.fault = (request) => {
      if (!when(request)) return undefined;
      child!.kill('SIGKILL');
      return { status: 503 };
    };
    t.is((await backspin(home, args, env, command, (started) => (child = started))).code, null);
    hub.fault = () => undefined;
    t.deepEqual([...hub.files('datasets', 'student/pairs')!.keys()], []);
  };
  await killed(({ method }) => method === 'PUT' && uploads(hub.seen).length === 2);
  const [first, second] = uploads(hub.seen);
  hub.seen.length = 0;
  await killed(({ path }) => path.includes('/commit/'));
  t.deepEqual(uploads(hub.seen), [second], 'the first file is not uploaded again');
  t.not(first, second);

  hub.seen.length = 0;
  const to = join(temporary(), 'out');
  const { code, stdout, stderr } = await backspin(home, [...args, '--to', to], env);
  t.is(code, 0, stderr);
  t.deepEqual(uploads(hub.seen), []);
  t.regex(stdout, /student\/pairs: 3 files in one commit\n$/);
  const files = hub.files('datasets', 'student/pairs')!;
  t.deepEqual([...files.keys()].toSorted(), names);
  for (const [name, bytes] of files) t.deepEqual(bytes, readFileSync(join(to, name)), name);

  t.regex((await backspin(home, args, env)).stdout, /: nothing to do, 3 files already there/);
  t.is(hub.commits.length, 1);
  t.regex(hub.commits[0]!, /^pairs of toy, digest [0-9a-f]{64}$/);
});

test('a push changes only what the repository has otherwise, and leaves the files of others', async (t) => {
  const { hub, home, env } = await pushed(t);
  hub.publish('datasets', 'student/pairs', { LICENSE: 'mine', 'README.md': 'an older card' });
  t.regex((await backspin(home, args, env)).stdout, /: 3 files in one commit/);
  t.deepEqual([...hub.files('datasets', 'student/pairs')!.keys()].toSorted(), ['LICENSE', ...names]);
  const files = Object.fromEntries(hub.files('datasets', 'student/pairs')!);
  hub.publish('datasets', 'student/pairs', { ...files, 'data.jsonl': 'damaged' });
  t.regex((await backspin(home, args, env)).stdout, /data\.jsonl: uploaded \(1\)\n.*: 1 file in one commit, 2 files already there/);
  t.deepEqual(hub.files('datasets', 'student/pairs')!.get('data.jsonl'), files['data.jsonl']);
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
