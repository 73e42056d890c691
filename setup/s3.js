/** Finds versitygw, the S3 server of the tests, or builds it with Go. Without either those tests are skipped. */
import fs from 'node:fs';
import path from 'node:path';
import { atLeast, flushed, numbers, run, which } from './commands.js';
import { requireSpace } from './files.js';
import { cache } from './paths.js';
import { hint, notes, step } from './steps.js';

const VERSION = 'v1.8.0';
const GO = [1, 25];
const cached = path.join(cache, 'versitygw', VERSION.slice(1), 'versitygw');

/** Path of the server; null: this machine cannot have one. */
export const s3Step = () => step('S3 server for tests', cache, find, make);

async function find() {
  return which('versitygw') ?? (fs.existsSync(cached) ? cached : undefined);
}

async function make(lock) {
  const go = which('go');
  const version = go && numbers(await run(go, ['version']), /go(\d+)\.(\d+)/);
  if (!version || !atLeast(version, GO)) {
    notes.add(`none, so tests of stores in S3 are skipped: put \`versitygw\` on PATH, or install Go ${GO.join('.')} or newer`);
    return null;
  }
  hint('building with Go, a minute');
  requireSpace(cache, 1);
  const part = path.join(cache, 'versitygw', 'part');
  fs.rmSync(part, { recursive: true, force: true });
  fs.mkdirSync(part, { recursive: true });
  try {
    await run(go, ['install', '-ldflags', '-s -w', `github.com/versity/versitygw/cmd/versitygw@${VERSION}`], {
      lock,
      cwd: cache,
      env: { GOBIN: part },
    });
    fs.mkdirSync(path.dirname(cached), { recursive: true });
    await flushed();
    fs.renameSync(path.join(part, 'versitygw'), cached);
    return cached;
  } catch (error) {
    notes.add(`none, so tests of stores in S3 are skipped: ${error.message.split('\n').at(-2) ?? error.message}`);
    return null;
  } finally {
    fs.rmSync(part, { recursive: true, force: true });
  }
}
