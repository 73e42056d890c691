/** What is around the command: its home, the way to Temporal, Node, and what set-up left. */
import { cpSync, mkdirSync, readdirSync, rmSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { backspin, root, temporary } from '../cli/cli.ts';
import { command, emptyHome, homeWith, keeping, put, type Case } from './case.ts';
import { toyHome } from './toy.ts';

const cancel = (what: string, env: NodeJS.ProcessEnv, says: RegExp): Case =>
  command(what, ['cancel', 'toy'], 1, says, { home: toyHome(), env });

export const environment: readonly Case[] = [
  command(
    'the home is a file',
    ['list'],
    1,
    /home\/store\/tmp cannot be used: a part of the path is a file, not a folder \(ENOTDIR\)\. Fix that, or set BACKSPIN_HOME/,
    {
      home: homeWith({ home: 'mine' }),
      env: { BACKSPIN_HOME: 'HOME/home' },
    },
  ),
  command('up in a home that is a file', ['up', '--detach'], 1, /home\/logs cannot be used: .*Fix that, or set BACKSPIN_HOME/, {
    home: homeWith({ home: 'mine' }),
    env: { BACKSPIN_HOME: 'HOME/home' },
  }),
  command(
    'the home cannot be written',
    ['list'],
    1,
    /\/sys\/backspin\S* cannot be used: .* \((EPERM|EACCES|EROFS)\)\. Fix that, or set BACKSPIN_HOME/,
    { env: { BACKSPIN_HOME: '/sys/backspin' } },
  ),
  command('the store is a file', ['list'], 1, /store\/tmp cannot be used: a part of the path is a file/, {
    home: homeWith({ store: 'mine' }),
  }),
  command('pools.yaml is a folder', ['up'], 1, /pools\.yaml cannot be read \(EISDIR\): mend it, or remove it/, {
    home: homeWith({ 'pools.yaml/x': '' }),
  }),
  command('a folder stands where up makes its pipe', ['up'], 1, /lifeline cannot be used: it is a folder \(ERR_FS_EISDIR\)\. Fix that/, {
    home: homeWith({ 'lifeline/x': '' }),
  }),
  command('pools.yaml declares nothing', ['up'], 1, /pools\.yaml:1:1: declares no pool; write one, such as `cpu: 1`, or remove the file/, {
    home: homeWith({ 'pools.yaml': '# later\n' }),
  }),
  cancel(
    'the Temporal address is a URL',
    { TEMPORAL_ADDRESS: 'http://127.0.0.1:7233' },
    /The Temporal address "http:\/\/127\.0\.0\.1:7233", .*, is none: write HOST:PORT, such as localhost:7233/,
  ),
  cancel(
    'the Temporal address has a port above all ports',
    { TEMPORAL_ADDRESS: '127.0.0.1:72330' },
    /The Temporal address "127\.0\.0\.1:72330", .* is none: write HOST:PORT/,
  ),
  cancel(
    'nobody answers at the Temporal address',
    { TEMPORAL_ADDRESS: '127.0.0.1:9' },
    /No Temporal server answers at 127\.0\.0\.1:9 .*: start it, or unset TEMPORAL_ADDRESS/,
  ),
  cancel(
    'a Temporal profile that is not there',
    { TEMPORAL_CONFIG_FILE: 'HOME/toy.toml', TEMPORAL_PROFILE: 'prod' },
    /environment and .*toy\.toml \(Profile 'prod' not found in config data\): mend what it names/,
  ),
  cancel(
    'a key for Temporal that is not there',
    { TEMPORAL_ADDRESS: '127.0.0.1:9', TEMPORAL_TLS_CLIENT_CERT_PATH: '/no/such.pem', TEMPORAL_TLS_CLIENT_KEY_PATH: '/no/such.key' },
    /the environment and .* \(ENOENT: .*'\/no\/such\.pem'\): mend what it names, or leave it out/,
  ),
  command(
    'an older Node',
    ['list'],
    1,
    /backspin needs Node 24 or newer, and this is 20\.1\.0: install one, or run `npx backspin` in a checkout/,
    {
      env: {
        NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent("Object.defineProperty(process, 'versions', { value: { ...process.versions, node: '20.1.0' } })")}`,
      },
    },
  ),
  installation('set-up never ran', null, /not set up: run `npm run setup` in the backspin folder/),
  installation('set-up was killed as it wrote its result', '{"node": "/usr/b', /not set up: run `npm run setup` in the backspin folder/),
  installation(
    'the Temporal CLI of set-up was deleted',
    JSON.stringify({ node: '', temporal: '/no/such/temporal', python: '', cache: '' }),
    /The Temporal CLI \/no\/such\/temporal does not run .*: run `npm run setup` in the backspin folder/,
  ),
];

/** `backspin up` of an installation of its own, with this result of set-up. */
function installation(what: string, setup: string | null, says: RegExp): Case {
  const make = async () => {
    const folder = temporary();
    const sources = readdirSync(root, { withFileTypes: true }).filter(
      ({ name }) => !['.git', '.backspin', 'node_modules', 'examples', 'test', 'bench', 'docs'].includes(name),
    );
    for (const { name } of sources) cpSync(join(root, name), join(folder, name), { recursive: true });
    mkdirSync(join(folder, 'node_modules'));
    for (const name of readdirSync(join(root, 'node_modules')))
      if (name !== '.backspin-setup.json' && name !== '.cache')
        symlinkSync(join(root, 'node_modules', name), join(folder, 'node_modules', name));
    if (setup !== null) put(folder, { 'node_modules/.backspin-setup.json': setup });
    const home = await emptyHome();
    const ran = await keeping(home, () => backspin(home, ['up'], {}, join(folder, 'cli/backspin.js')));
    rmSync(folder, { recursive: true });
    return { ends: ran.code ?? 0, says: ran.stderr || ran.stdout };
  };
  return { what, ends: 1, says, make };
}
