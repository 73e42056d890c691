import { relative } from 'node:path';

/** Files that take longest come first, so that none of them runs alone at the end. By what they took on two cores. */
const LONGEST = [
  'examples/demo',
  'faults/matrix',
  'examples/miniature',
  'faults/chaos',
  'faults/methods',
  'devices/real',
  'bench/bench',
  'examples/external',
  'examples/musc',
  'examples/cycle-instruct',
  'bad-input/bad-input',
  'workflows/others',
  'workflows/ends',
  'workflows/mended',
  'workflows/experiment',
  'workflows/control',
  'cli/up',
  'docs/commands',
  'workflows/scale',
  'workflows/external',
  'faults/pause',
  'examples/pretrain',
  'workflows/limits',
  'workflows/adapters',
  'workflows/turns',
].map((name) => `test/${name}.test.ts`);
function place(file) {
  const index = LONGEST.indexOf(relative(import.meta.dirname, file));
  return index === -1 ? LONGEST.length : index;
}

/** Files that kill everything at every point take minutes each: with BACKSPIN_DRAW=faults (as in .ci/run) one of them runs, drawn. */
const faults = ['matrix', 'chaos', 'methods'];
const drawn = faults[Math.floor(Math.random() * faults.length)];
const leftOut = process.env.BACKSPIN_DRAW === 'faults' ? faults.filter((name) => name !== drawn) : [];

export default {
  files: [
    'test/**/*.test.ts',
    '!test/vllm/**',
    '!test/real/**',
    '!test/hosts/**',
    '!test/lm-eval/**',
    ...leftOut.map((name) => `!test/faults/${name}.test.ts`),
  ],
  extensions: ['ts'],
  require: ['./test/support/temporary.ts'],
  workerThreads: false,
  // One more than the cores of a small machine: many tests wait for servers and children to come up.
  concurrency: 3,
  sortTestFiles: (a, b) => place(a) - place(b) || a.localeCompare(b),
  timeout: '24m',
};
