/** Looks up repositories of the Hugging Face Hub and downloads their files, with `huggingface_hub` in the trainer's Python. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { text } from 'node:stream/consumers';
import type { HubSpec, PushSpec } from '../schemas/trainer.ts';
import { hubEnvironment } from './environment.ts';
import { errorOfExit } from './exits.ts';
import { pythonOf, trainerEnvironment } from './python.ts';

/** A repository at a branch, a tag or a commit. */
export type Repository = Pick<HubSpec, 'kind' | 'repository' | 'revision'>;

export interface Snapshot {
  readonly commit: string;
  /** Its folder in the Hub's cache, which holds the files that were downloaded. */
  readonly folder: string;
  /** All files of the repository; those in the cache alone if `listed` is false. */
  readonly listed: boolean;
  readonly files: readonly { readonly name: string; readonly bytes: number }[];
}
export interface DownloadProgress {
  readonly bytes: number;
  readonly of: number;
}
export interface DownloadFollower {
  readonly signal: AbortSignal;
  readonly onProgress: (progress: DownloadProgress) => void;
}

const snapshots = new Map<string, Promise<Snapshot>>();

/** Resolves a revision to a commit, and downloads the files whose names match `small`. Without a network it answers from the Hub's cache.
 *  Commits are remembered. Throws `ConfigError` if there is no such repository, revision or access, and `Down` without a network. */
export function lookUpRepository(repository: Repository, small: RegExp): Promise<Snapshot> {
  const { HF_HOME, HF_HUB_CACHE } = process.env;
  const keyOf = (revision: string) =>
    JSON.stringify([HF_HOME, HF_HUB_CACHE, repository.kind, repository.repository, revision, small.source]);
  const known = snapshots.get(keyOf(repository.revision));
  if (known) return known;
  const found = runHub({ version: 1, ...repository, small: small.source, files: null });
  found.then(
    ({ commit }) => snapshots.set(keyOf(commit), found),
    () => {},
  );
  return found;
}

/** Downloads files of a commit to its folder in the Hub's cache, and resumes what an earlier download began. Throws like `lookUpRepository`,
 *  and the signal's reason on abort. */
export async function downloadFiles(
  repository: Omit<Repository, 'revision'>,
  { commit, folder }: Pick<Snapshot, 'commit' | 'folder'>,
  files: readonly string[],
  follower?: DownloadFollower,
): Promise<void> {
  const missing = files.filter((name) => !existsSync(join(folder, name)));
  if (missing.length > 0) await runHub({ version: 1, ...repository, revision: commit, small: '$^', files: missing }, follower);
}

async function runHub(spec: HubSpec, { signal, onProgress }: Partial<DownloadFollower> = {}): Promise<Snapshot> {
  let last: Snapshot | undefined;
  for await (const line of hubLines<Snapshot | DownloadProgress>('hub', spec, signal)) {
    if ('of' in line) onProgress?.(line);
    else last = line;
  }
  return last!;
}

/** A file of the folder; `sent` is false if the Hub had it already. */
export interface PushedFile {
  readonly name: string;
  readonly sent: boolean;
}

/** Uploads a folder to a repository as one commit, and leaves out the files that it has. Makes the repository if there is none. Returns its
 *  address. Throws `ConfigError` if the Hub refuses it, and `Down` without a network. */
export async function pushFolder(spec: Omit<PushSpec, 'version'>, onFile: (file: PushedFile) => void): Promise<string> {
  let last: { readonly url: string } | undefined;
  for await (const line of hubLines<PushedFile | { readonly url: string }>('push', { version: 1, ...spec })) {
    if ('name' in line) onFile(line);
    else last = line;
  }
  return last!.url;
}

/** What a verb of the trainer that talks to the Hub prints. The subprocess ends with this process: it reads its standard input to the end. */
async function* hubLines<Line>(verb: 'hub' | 'push', spec: HubSpec | PushSpec, signal?: AbortSignal): AsyncGenerator<Line> {
  signal?.throwIfAborted();
  const { python, trainerPath } = pythonOf();
  const scratch = await mkdtemp(join(tmpdir(), 'backspin-'));
  const file = join(scratch, 'hub.json');
  try {
    await writeFile(file, JSON.stringify(spec));
    const child = spawn(python, ['-m', 'backspin_trainer', verb, '--spec', file], {
      env: { ...hubEnvironment(), ...trainerEnvironment(trainerPath) },
    });
    const stop = () => child.kill('SIGKILL');
    signal?.addEventListener('abort', stop, { once: true });
    const [errors, ended] = [text(child.stderr), once(child, 'close') as Promise<[number | null]>];
    for await (const line of createInterface(child.stdout)) yield JSON.parse(line) as Line;
    const [code] = await ended;
    signal?.removeEventListener('abort', stop);
    signal?.throwIfAborted();
    if (code === 0) return;
    const said = (await errors).trim().split('\n').at(-1)!;
    throw errorOfExit(code, file, said) ?? new Error(`The client of the Hub ended with exit code ${code}: ${said}`);
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}
