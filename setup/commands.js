/** Runs the commands of set-up. */
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { bin, isPackage, root } from './paths.js';

// npm puts the checkout's Node first; `npm ci` deletes that Node, so every subprocess gets the system's PATH.
export const searchPath = (process.env.PATH ?? '')
  .split(path.delimiter)
  .filter((folder) => !folder.endsWith(path.join('node_modules', '.bin')));
const environment = { ...process.env, PATH: searchPath.join(path.delimiter) };

/** Runs a command to its end and returns its output; if it fails, throws a sentence with the last lines and the remedy. */
export function run(command, args, { lock, cwd = root, env, signal, remedy = '' } = {}) {
  return new Promise((resolve, reject) => {
    const stdio = ['ignore', 'pipe', 'pipe', lock ?? 'ignore'];
    const child = spawn(command, args, { cwd, env: { ...environment, ...env }, stdio, signal, killSignal: 'SIGKILL' });
    let output = '';
    child.stdout.on('data', (text) => (output += text));
    child.stderr.on('data', (text) => (output += text));
    child.on('error', (error) => {
      reject(error.code === 'ENOENT' ? new Error(`${command} is not on PATH. Install it, then run this again.`) : error);
    });
    child.on('close', (code, killed) => {
      if (code === 0) return resolve(output);
      const lines = output.trimEnd().split('\n').slice(-15).join('\n  ');
      reject(new Error(`\`${[command, ...args].join(' ')}\` ended with ${killed ?? `exit code ${code}`}:\n  ${lines}\n${remedy}`));
    });
  });
}

/** Runs a program under the checkout's Node, with its packages. */
export function script(text, args, options) {
  return run(isPackage ? process.execPath : path.join(bin, 'node'), ['--input-type=module', '-e', text, ...args], options);
}

export function which(command) {
  return searchPath.map((folder) => path.resolve(folder, command)).find(isExecutable);
}

export function isExecutable(file) {
  try {
    fs.accessSync(file, fs.constants.X_OK);
    return fs.statSync(file).isFile();
  } catch {
    return false;
  }
}

/** Flushes the disk: a marker may only be written after everything that it vouches for. */
export function flushed() {
  return run('sync', []).catch(() => {});
}

export function numbers(text, pattern) {
  return pattern
    .exec(text)
    ?.slice(1)
    .filter((part) => part !== undefined)
    .map(Number);
}

export function atLeast(version, minimum) {
  return version !== undefined && (version[0] > minimum[0] || (version[0] === minimum[0] && version[1] >= minimum[1]));
}
