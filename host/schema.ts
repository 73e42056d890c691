/** Makes or updates Temporal's schema in PostgreSQL, by Temporal's own tool. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { BackspinError } from '../schemas/errors.ts';

/** The name under which Temporal's images and releases have it. */
const TOOL = 'temporal-sql-tool';
const PLUGIN = 'postgres12';
/** Databases, and the schemas that the tool contains for them. */
const databases = { temporal: 'postgresql/v12/temporal', temporal_visibility: 'postgresql/v12/visibility' } as const;

/** For each database: update it, or make it first. Safe to repeat, and after an upgrade of the server needed. Host, port, user, password and
 *  TLS come from the tool's own variables (SQL_HOST, SQL_PORT, SQL_USER, SQL_PASSWORD, SQL_TLS, ...). */
export async function makeSchema(say: (line: string) => void): Promise<void> {
  if (!process.env['SQL_HOST'])
    throw new BackspinError('ConfigError', 'Say where PostgreSQL is: set SQL_HOST, SQL_PORT, SQL_USER and SQL_PASSWORD.');
  for (const [database, schema] of Object.entries(databases)) {
    const update = ['update-schema', '--schema-name', schema];
    if ((await attempt(database, update)) === null) {
      say(`The database ${database} has the newest schema that ${TOOL} knows.`);
      continue;
    }
    await attempt(database, ['create-database']); // it may be there, empty
    const fault = (await attempt(database, ['setup-schema', '--version', '0.0'])) ?? (await attempt(database, update));
    if (fault !== null)
      throw new BackspinError(
        'ServerDown',
        `The schema of the database ${database} cannot be made at ${process.env['SQL_HOST']}. ${TOOL} says:\n  ${fault.replaceAll('\n', '\n  ')}`,
      );
    say(`The database ${database} is made.`);
  }
}

/** Returns the last lines of the tool's output if it fails, else null. */
async function attempt(database: string, args: readonly string[]): Promise<string | null> {
  try {
    await promisify(execFile)(TOOL, ['--database', database, ...args], {
      env: { SQL_PLUGIN: PLUGIN, ...process.env },
      timeout: 300_000,
    });
    return null;
  } catch (error) {
    const { code, stdout = '', stderr = '', message } = error as { code?: unknown; stdout?: string; stderr?: string; message: string };
    if (code === 'ENOENT') throw new BackspinError('ConfigError', withoutTool());
    return `${stdout}${stderr}`.trim().split('\n').slice(-3).join('\n') || message;
  }
}

const withoutTool = (): string => {
  const commands = Object.entries(databases).flatMap(([database, schema]) =>
    ['create-database', 'setup-schema --version 0.0', `update-schema --schema-name ${schema}`].map(
      (command) => `  ${TOOL} --plugin ${PLUGIN} --database ${database} ${command}`,
    ),
  );
  return `${TOOL} is not on the PATH. It is a part of Temporal's server (the image temporalio/admin-tools has it). Put it there and run this again, or run these where it is, with SQL_HOST, SQL_PORT, SQL_USER and SQL_PASSWORD set:\n${commands.join('\n')}`;
};
