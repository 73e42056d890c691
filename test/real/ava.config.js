/** Recipes with a real model, which `npm run test:real` makes first. One at a time: model and trainer fill a small machine. */
export default {
  files: ['test/real/*.test.ts'],
  extensions: ['ts'],
  require: ['./test/support/temporary.ts'],
  workerThreads: false,
  concurrency: 1,
  serial: true,
  timeout: '30m',
};
