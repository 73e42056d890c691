/** Opens DuckDB in memory, for queries over tables of the store. The package is large: import this file only for a query. */
import { DuckDBInstance, StatementType, type DuckDBConnection, type DuckDBValue } from '@duckdb/node-api';
import { BackspinError } from '../../schemas/errors.ts';

export type Row = Readonly<Record<string, unknown>>;

/** Memory of one database. Larger sorts and groups go to temporary files in the store. */
const MEMORY = '1GB';

export class Database {
  readonly #connection: DuckDBConnection;

  /** `temporary`: folder for what does not fit into memory. Loads no extension from the network. */
  static async open(temporary: string): Promise<Database> {
    const instance = await DuckDBInstance.create(':memory:', {
      memory_limit: MEMORY,
      temp_directory: temporary,
      autoinstall_known_extensions: 'false',
    });
    return new Database(await instance.connect());
  }

  private constructor(connection: DuckDBConnection) {
    this.#connection = connection;
  }

  /** Forbids everything outside these folders, for good. */
  async confine(folders: readonly string[]): Promise<void> {
    await this.run(`set allowed_directories = [${folders.map(text).join()}]`);
    await this.run('set enable_external_access = false');
    await this.run('set lock_configuration = true');
  }

  /** Throws `ConfigError` unless `sql` is one statement that only reads. */
  async requireQuery(sql: string): Promise<void> {
    const type = await this.#explained(async () => {
      if (sql.trim() === '') return undefined;
      const statements = await this.#connection.extractStatements(sql);
      if (statements.count !== 1) return undefined;
      const prepared = await statements.prepare(0);
      try {
        return prepared.statementType;
      } finally {
        prepared.destroySync();
      }
    });
    if (type !== StatementType.SELECT)
      throw new BackspinError('ConfigError', 'The query must be one SELECT (or FROM) statement: records are read here, and never changed.');
  }

  async run(sql: string, values: readonly DuckDBValue[] = []): Promise<void> {
    await this.#explained(() => this.#connection.run(sql, [...values]));
  }

  /** All rows of a query, as they would be in JSON. Numbers beyond 2^53 lose digits. */
  async rows<R = Row>(sql: string, values: readonly DuckDBValue[] = []): Promise<R[]> {
    const reader = await this.#explained(() => this.#connection.runAndReadAll(`select to_json(t) from (${sql}\n) t`, [...values]));
    return reader.getRows().map(([json]) => JSON.parse(json as string) as R);
  }

  /** The first `limit` rows, and whether there are more. */
  async head(sql: string, limit: number): Promise<{ readonly rows: Row[]; readonly more: boolean }> {
    const rows = await this.rows(`select * from (${sql}\n) limit ${limit + 1}`);
    return { rows: rows.slice(0, limit), more: rows.length > limit };
  }

  async columns(sql: string): Promise<string[]> {
    return (await this.rows<{ column_name: string }>(`select column_name from (describe ${sql}\n)`)).map((row) => row.column_name);
  }

  close(): void {
    this.#connection.closeSync();
  }

  async #explained<T>(body: () => Promise<T>): Promise<T> {
    try {
      return await body();
    } catch (error) {
      const [first = '', ...rest] = (error as Error).message.replaceAll('select to_json(t) from (', '').trim().split('\n\n');
      const hint = rest.find((part) => part.startsWith('Candidate') || part.startsWith('Did you mean'));
      throw new BackspinError('ConfigError', `The query cannot be run: ${[first, hint].filter(Boolean).join(' ').replaceAll('\n', ' ')}`, {
        cause: error,
      });
    }
  }
}

/** Quotes a name, such as that of a column. */
export const name = (word: string): string => `"${word.replaceAll('"', '""')}"`;
/** Quotes a text. */
export const text = (word: string): string => `'${word.replaceAll("'", "''")}'`;
