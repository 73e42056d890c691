export default {
  files: ['test/**/*.test.ts', '!test/vllm/**'],
  extensions: ['ts'],
  require: ['./test/support/temporary.ts'],
  workerThreads: false,
  concurrency: 2,
  timeout: '16m',
};
