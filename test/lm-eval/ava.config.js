/** Tasks of EleutherAI's harness on a served model, which `npm run test:lm-eval` installs first. */
export default {
  files: ['test/lm-eval/*.test.ts'],
  extensions: ['ts'],
  require: ['./test/support/temporary.ts'],
  workerThreads: false,
  concurrency: 1,
  serial: true,
  timeout: '20m',
};
