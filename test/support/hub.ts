/** A local stand-in for the Hugging Face Hub: what `huggingface_hub` and `datasets` ask of it, with faults on demand. */
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { globSync, readFileSync, statSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { ExecutionContext } from 'ava';

export type Kind = 'models' | 'datasets';

export interface HubRequest {
  readonly method: string;
  readonly path: string;
  readonly range: string | undefined;
  readonly authorization: string | undefined;
}
/** `status`: answers with it, and with the Hub's error code. `cut`: drops the connection after so many bytes of a body. `pause`: waits so
 *  many milliseconds before each 64 KiB of a body. */
export interface Fault {
  readonly status?: number;
  readonly code?: string;
  readonly cut?: number;
  readonly pause?: number;
}

/** Bytes from which on a file is stored apart, behind a redirect, as those of git-lfs are. */
const LARGE = 100_000;
const CHUNK = 2 ** 16;
const hash = (kind: 'sha1' | 'sha256', data: string | Buffer) => createHash(kind).update(data).digest('hex');
type Files = ReadonlyMap<string, Buffer>;
interface Published {
  readonly commit: string;
  readonly files: Files;
}

export class LocalHub {
  readonly seen: HubRequest[] = [];
  /** What goes wrong with a request. */
  fault: (request: HubRequest) => Fault | undefined = () => undefined;
  /** `KIND/REPOSITORY@REVISION` -> commit and files. */
  readonly #published = new Map<string, Published>();
  readonly #blobs = new Map<string, Buffer>();
  /** Messages of the commits that were received. */
  readonly commits: string[] = [];
  readonly #server = createServer((request, response) => {
    this.#answer(request, response).catch(() => response.destroy());
  });

  static async start(t: Pick<ExecutionContext, 'teardown'>): Promise<LocalHub> {
    const hub = new LocalHub();
    hub.#server.listen(0, '127.0.0.1');
    await once(hub.#server, 'listening');
    t.teardown(() => hub.close());
    return hub;
  }

  get endpoint(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo | null)?.port}`;
  }

  /** Refuses all connections from now on. */
  async close(): Promise<void> {
    this.#server.closeAllConnections();
    if (this.#server.listening) await new Promise((done) => this.#server.close(done));
  }

  /** Publishes files, or those of a folder, as a commit that `revisions` name, by default `main`. Returns the commit. */
  publish(kind: Kind, repository: string, given: string | Readonly<Record<string, string | Buffer>>, ...revisions: string[]): string {
    const files: Files =
      typeof given === 'string' ? filesIn(given) : new Map(Object.entries(given).map(([name, text]) => [name, Buffer.from(text)]));
    const commit = hash('sha1', [...files].map(([name, bytes]) => `${name} ${hash('sha1', bytes)}`).join('\n'));
    for (const bytes of files.values()) this.#blobs.set(hash('sha256', bytes), bytes);
    for (const revision of [commit, ...(revisions.length > 0 ? revisions : ['main'])])
      this.#published.set(`${kind}/${repository}@${revision}`, { commit, files });
    return commit;
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { pathname } = new URL(request.url!, 'http://hub');
    const { range, authorization } = request.headers;
    const asked = { method: request.method!, path: decodeURIComponent(pathname), range, authorization };
    this.seen.push(asked);
    const fault = this.fault(asked) ?? {};
    if (fault.status !== undefined) return refuse(response, fault.status, fault.code);
    if (request.method === 'POST' && (await this.#receive(request, response, asked.path))) return;
    const api = /^\/api\/(models|datasets)\/([^/]+(?:\/[^/]+)??)(?:\/(revision|tree|paths-info)\/([^/]+)(?:\/(.*))?)?$/.exec(asked.path);
    if (api) return this.#describe(request, response, api[1] as Kind, api[2]!, api[3], api[4], api[5]);
    const [, cdn] = /^\/cdn\/(\w+)$/.exec(pathname) ?? [];
    if (cdn !== undefined && request.method === 'PUT') return this.#store(request, response, cdn);
    if (cdn !== undefined) return send(request, response, this.#blobs.get(cdn)!, fault);
    const file = /^\/(datasets\/)?(.+?)\/resolve\/([^/]+)\/(.+)$/.exec(asked.path);
    if (!file) return refuse(response, 404, 'RepoNotFound');
    const found = this.#find(response, file[1] ? 'datasets' : 'models', file[2]!, file[3]!);
    if (!found) return;
    const bytes = found.files.get(file[4]!);
    if (!bytes) return refuse(response, 404, 'EntryNotFound');
    response.setHeader('x-repo-commit', found.commit);
    if (bytes.length < LARGE) return send(request, response, bytes, fault);
    const digest = hash('sha256', bytes);
    const apart = this.endpoint.replace('127.0.0.1', 'localhost'); // another host, to which no token may go
    const headers = { location: `${apart}/cdn/${digest}`, 'x-linked-etag': `"${digest}"`, 'x-linked-size': bytes.length };
    response.writeHead(302, headers).end();
  }

  /** The files of a repository as it is now. */
  files(kind: Kind, repository: string): Files | undefined {
    return this.#published.get(`${kind}/${repository}@main`)?.files;
  }

  /** Takes what `create_commit` sends: large files by their SHA-256 first, the others in the commit. Returns whether the request was one of
   *  those. */
  async #receive(request: IncomingMessage, response: ServerResponse, path: string): Promise<boolean> {
    const batch = path.endsWith('.git/info/lfs/objects/batch');
    const [, kind, repository, step] = /^\/api\/(models|datasets)\/([^/]+\/[^/]+)\/(preupload|commit)\/main$/.exec(path) ?? [];
    if (path !== '/api/repos/create' && path !== '/api/validate-yaml' && step === undefined && !batch) return false;
    if (!request.headers.authorization) refuse(response, 401);
    else {
      const body = Buffer.concat(await request.toArray()).toString();
      if (path === '/api/validate-yaml') json(response, { errors: [], warnings: [] });
      else if (batch) this.#batch(response, JSON.parse(body) as { objects: LargeFile[] });
      else if (path === '/api/repos/create') this.#create(response, JSON.parse(body) as Created);
      else if (step === 'preupload') {
        const { files } = JSON.parse(body) as { files: { path: string; size: number }[] };
        const modeOf = (size: number) => (size < LARGE ? 'regular' : 'lfs');
        json(response, { files: files.map(({ path, size }) => ({ path, uploadMode: modeOf(size), shouldIgnore: false })) });
      } else this.#commit(response, kind as Kind, repository!, body);
    }
    return true;
  }

  /** Says where the large files go that are not there yet. */
  #batch(response: ServerResponse, { objects }: { readonly objects: readonly LargeFile[] }): void {
    const href = (oid: string) => ({ actions: { upload: { href: `${this.endpoint}/cdn/${oid}` } } });
    json(response, { objects: objects.map(({ oid, size }) => ({ oid, size, ...(!this.#blobs.has(oid) && href(oid)) })) });
  }

  async #store(request: IncomingMessage, response: ServerResponse, oid: string): Promise<void> {
    const bytes = Buffer.concat(await request.toArray());
    if (hash('sha256', bytes) !== oid) return refuse(response, 400);
    this.#blobs.set(oid, bytes);
    response.end();
  }

  #create(response: ServerResponse, { type = 'model', name, organization }: Created): void {
    const repository = organization ? `${organization}/${name}` : name;
    if (this.files(`${type}s`, repository)) response.statusCode = 409;
    else this.publish(`${type}s`, repository, {});
    json(response, { url: `${this.endpoint}/${type === 'dataset' ? 'datasets/' : ''}${repository}`, name: repository });
  }

  /** Files of a commit, one a line, are added to those that are there. */
  #commit(response: ServerResponse, kind: Kind, repository: string, lines: string): void {
    const sent = lines
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as { key: string; value: { path: string; content: string; oid: string; summary: string } });
    const added = sent.flatMap(({ key, value: { path, content, oid } }) => {
      if (key === 'header') return [];
      return [[path, key === 'file' ? Buffer.from(content, 'base64') : this.#blobs.get(oid)!] as const];
    });
    this.commits.push(sent.find(({ key }) => key === 'header')!.value.summary);
    const files = Object.fromEntries([...(this.files(kind, repository) ?? []), ...added]);
    const commitOid = this.publish(kind, repository, files);
    json(response, { success: true, commitOid, commitUrl: `${this.endpoint}/${repository}/commit/${commitOid}`, hookOutput: '' });
  }

  async #describe(
    request: IncomingMessage,
    response: ServerResponse,
    kind: Kind,
    repository: string,
    what: string | undefined,
    revision = 'main',
    below?: string,
  ): Promise<void> {
    const found = this.#find(response, kind, repository, revision);
    if (!found) return;
    const entries = [...found.files].map(([path, bytes]) => entryOf(path, bytes));
    if (what === 'tree') return json(response, below ? entries.filter(({ path }) => path.startsWith(`${below}/`)) : entries);
    if (what === 'paths-info') {
      const body = Buffer.concat(await request.toArray()).toString();
      const paths = body.startsWith('{') ? (JSON.parse(body) as { paths: string[] }).paths : new URLSearchParams(body).getAll('paths');
      const isFolder = (path: string) => entries.some((entry) => entry.path.startsWith(`${path}/`));
      return json(
        response,
        paths.flatMap((path) =>
          isFolder(path) ? [{ type: 'directory', path, oid: hash('sha1', path) }] : entries.filter((entry) => entry.path === path),
        ),
      );
    }
    const siblings = entries.map(({ path, size }) => ({ rfilename: path, size }));
    json(response, { _id: '0', id: repository, sha: found.commit, private: false, gated: false, tags: [], siblings });
  }

  /** As the Hub does, answers 401 for a repository that is not there, or closed. */
  #find(response: ServerResponse, kind: Kind, repository: string, revision: string): Published | undefined {
    const found = this.#published.get(`${kind}/${repository}@${revision}`);
    if (found) return found;
    const known = [...this.#published.keys()].some((name) => name.startsWith(`${kind}/${repository}@`));
    if (known) refuse(response, 404, 'RevisionNotFound');
    else refuse(response, 401, 'RepoNotFound');
    return undefined;
  }
}

interface LargeFile {
  readonly oid: string;
  readonly size: number;
}
interface Created {
  readonly type?: 'model' | 'dataset';
  readonly name: string;
  readonly organization?: string;
}

async function send(
  request: IncomingMessage,
  response: ServerResponse,
  bytes: Buffer,
  { cut = Infinity, pause = 0 }: Fault,
): Promise<void> {
  const [, from = '0'] = /^bytes=(\d+)-/.exec(request.headers.range ?? '') ?? [];
  const body = bytes.subarray(Number(from));
  const etag = hash(bytes.length < LARGE ? 'sha1' : 'sha256', bytes);
  const headers = { etag: `"${etag}"`, 'content-length': body.length, 'accept-ranges': 'bytes' };
  const range = { 'content-range': `bytes ${from}-${bytes.length - 1}/${bytes.length}` };
  response.writeHead(request.headers.range ? 206 : 200, request.headers.range ? { ...headers, ...range } : headers);
  if (request.method === 'HEAD') {
    response.end();
    return;
  }
  for (let at = 0; at < Math.min(body.length, cut); at += CHUNK) {
    if (pause > 0) await delay(pause);
    if (response.destroyed) return;
    response.write(body.subarray(at, Math.min(at + CHUNK, cut)));
  }
  if (cut < body.length) setImmediate(() => response.destroy());
  else response.end();
}

function filesIn(folder: string): Files {
  const names = globSync('**', { cwd: folder }).filter((name) => statSync(join(folder, name)).isFile());
  return new Map(names.sort().map((name) => [name, readFileSync(join(folder, name))]));
}

const entryOf = (path: string, bytes: Buffer) => ({
  type: 'file',
  path,
  size: bytes.length,
  oid: hash('sha1', Buffer.concat([Buffer.from(`blob ${bytes.length}\0`), bytes])),
  ...(bytes.length >= LARGE && { lfs: { oid: hash('sha256', bytes), size: bytes.length, pointerSize: 130 } }),
});

function json(response: ServerResponse, value: unknown): void {
  response.setHeader('content-type', 'application/json').end(JSON.stringify(value));
}

function refuse(response: ServerResponse, status: number, code?: string): void {
  if (code !== undefined) response.setHeader('x-error-code', code);
  response.writeHead(status).end();
}
